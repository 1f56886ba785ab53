// The list: newest first, live, narrowed by what the address says.
import { html, useEffect, useMemo, useRef, useState } from "./html.js";
import { Link, change, go } from "./address.js";
import { ask, useAnswer } from "./ask.js";
import { FIELDS, Filters, wantedOf } from "./filters.js";
import { count, duration, plural, short } from "./format.js";
import { useKeys } from "./keys.js";
import { Empty, Failure, Money, Range, Repriced, Time, Tokens, periodOf, pricesOf } from "./parts.js";
import { Saved } from "./saved.js";

const PAGE = 60;

function Totals({ wanted }) {
  const { answer } = useAnswer("/api/v1/traces/totals", wanted);
  if (!answer) return html`<p class="totals dim" aria-busy="true"> </p>`;
  return html`<p class="totals" id="totals" aria-live="polite">
    <b>${count(answer.traces)}</b> ${answer.traces === 1 ? "trace" : "traces"} · <b>${short(answer.calls)}</b> ${answer.calls === 1 ? "call" : "calls"} ·
    <b> ${short(answer.input_tokens)} → ${short(answer.output_tokens)}</b> tokens ·
    <b> <${Money} amount=${answer.cost} states=${answer.states} calls=${answer.calls} exact /></b>
    ${answer.errors ? html` · <b class="bad">${plural(answer.errors, "error")}</b>` : ""}</p>`;
}

function Row({ trace, longest, chosen, fresh, service, users, prices }) {
  const took = trace.ended_ns - trace.started_ns;
  const width = `${Math.max(2, (100 * took) / longest)}%`;
  const row = useRef(null);
  useEffect(() => { if (chosen) row.current?.scrollIntoView({ block: "nearest" }); }, [chosen]);
  return html`<tr ref=${row} class=${`${chosen ? "chosen" : ""} ${fresh ? "fresh" : ""}`}>
    <td><${Time} ns=${trace.started_ns} relative /></td>
    <td class="name"><${Link} to=${`/traces/${trace.trace_id}`} query=${{ project: trace.project === "default" ? "" : trace.project, ...prices }}
      id=${`to-${trace.trace_id}`}>${trace.name || "(no name)"}<//>
      ${service ? html` <span class="dim">${trace.services.join(", ")}</span>` : ""}
      ${trace.errors ? html` <span class="tag bad">${plural(trace.errors, "error")}</span>` : ""}
      ${trace.tags.slice(0, 4).map((tag) => html` <button type="button" class="tag" key=${tag} title=${`only tag ${tag}`} onClick=${() => change({ tag })}>${tag}</button>`)}</td>
    <td class="models" title=${trace.models.join(", ")}>${trace.models.join(", ")}</td>
    ${users && html`<td class="who">${trace.user ? html`<button type="button" class="text" title="only this user" onClick=${() => change({ user: trace.user })}>${trace.user}</button>` : ""}</td>`}
    <td class="number took"><span class="took-bar" style=${{ width }}></span><span>${duration(took)}</span></td>
    <td class="number minor" title=${`${plural(trace.spans, "span")}, ${plural(trace.calls, "call")}`}>${count(trace.spans)}</td>
    <td class="number minor"><${Tokens} read=${trace.input_tokens} written=${trace.output_tokens} /></td>
    <td class="number cost"><${Money} amount=${trace.cost} states=${trace.states} calls=${trace.calls} /></td>
  </tr>`;
}

export function Traces({ query }) {
  const filters = { ...periodOf(query), ...wantedOf(query) };
  const narrowed = Object.keys(filters).length > 0;
  const prices = pricesOf(query);
  const wanted = { ...filters, ...prices };
  const key = JSON.stringify(wanted);
  const { answer, failure, waiting } = useAnswer("/api/v1/traces", { ...wanted, limit: PAGE });
  const [older, setOlder] = useState({ key: "", traces: [], next: null });
  const [asking, setAsking] = useState(false);
  const [at, setAt] = useState(-1);
  const known = useRef(new Set());
  const first = useRef(true);

  useEffect(() => { setOlder({ key, traces: [], next: null }); setAt(-1); known.current = new Set(); first.current = true; }, [key]);

  const traces = useMemo(() => {
    const listed = [...(answer?.traces ?? []), ...(older.key === key ? older.traces : [])];
    const seen = new Set();
    return listed.filter((trace) => {
      const id = `${trace.project}/${trace.trace_id}`;
      return !seen.has(id) && seen.add(id);
    });
  }, [answer, older, key]);
  const fresh = new Set(first.current ? [] : traces.filter((trace) => !known.current.has(trace.trace_id)).map((trace) => trace.trace_id));
  useEffect(() => {
    if (!answer) return;
    for (const trace of traces) known.current.add(trace.trace_id);
    first.current = false;
  }, [answer, traces]);
  const longest = Math.max(1, ...traces.map((trace) => trace.ended_ns - trace.started_ns));
  const services = new Set(traces.map((trace) => trace.services.join())).size;
  const users = traces.some((trace) => trace.user);
  const next = older.key === key && older.next !== null ? older.next : answer?.next_cursor;

  async function more() {
    setAsking(true);
    try {
      const page = await ask("/api/v1/traces", { ...wanted, limit: PAGE * 3, before: next });
      setOlder((before) => ({ key, traces: [...(before.key === key ? before.traces : []), ...page.traces], next: page.next_cursor }));
    } finally {
      setAsking(false);
    }
  }

  useKeys({
    j: () => setAt(Math.min(traces.length - 1, at + 1)),
    k: () => setAt(Math.max(0, at - 1)),
    Enter: (event) => {
      if (event.target.closest?.("a, button")) return event.target.click();
      if (traces[at]) go(`/traces/${traces[at].trace_id}`, prices);
    },
    Escape: () => (narrowed ? go("/", prices) : null),
    "/": () => document.getElementById("search")?.focus(),
  });

  return html`<div class="room">
    <h1 class="hidden">Traces</h1>
    <div class="head"><${Filters} query=${query} /><div class="end"><${Saved} query=${query} fields=${FIELDS.map((field) => field.name)} /><${Repriced} query=${query} /><${Range} query=${query} choose=${change} /></div></div>
    <${Failure} failure=${failure} />
    ${answer && !traces.length && !failure ? html`<${Nothing} narrowed=${narrowed} />` : html`
      <${Totals} wanted=${wanted} />
      <div class="wide" aria-busy=${String(waiting)} tabindex="0" role="region" aria-label="Traces, newest first">
      <table class="list" id="traces">
        <thead><tr><th scope="col">Started</th><th scope="col">Name</th><th scope="col" class="models">Models</th>${users && html`<th scope="col" class="who">User</th>`}
          <th scope="col" class="number">Took</th><th scope="col" class="number minor">Spans</th><th scope="col" class="number minor">Tokens</th><th scope="col" class="number">Cost</th></tr></thead>
        <tbody>${traces.map((trace, index) => html`<${Row} key=${`${trace.project}/${trace.trace_id}`} trace=${trace} longest=${longest}
          service=${services > 1} users=${users} prices=${prices} chosen=${index === at} fresh=${fresh.has(trace.trace_id)} />`)}</tbody>
      </table></div>
      ${next ? html`<p class="more"><button type="button" disabled=${asking} onClick=${more}>${asking ? "…" : "Older traces"}</button></p>` : ""}`}
  </div>`;
}

function Nothing({ narrowed }) {
  if (narrowed) {
    return html`<${Empty} title="Nothing fits">No trace has all of this. <${Link} to="/">Show all traces<//><//>`;
  }
  return html`<${Empty} title="No traces yet" commands=${["everyspan run script.py   # your script, unedited, with its calls recorded", "everyspan demo            # or a batch against a local provider, without a key"]}>
    This page is listening; the first trace appears here by itself.<//>`;
}

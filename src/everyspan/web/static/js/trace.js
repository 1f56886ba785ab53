// One trace: the waterfall, and beside it the span that is chosen. The address holds the span, so it can be sent on.
import { html, useEffect, useMemo, useRef, useState } from "./html.js";
import { Link, change, go } from "./address.js";
import { ask, useAnswer } from "./ask.js";
import { Detail } from "./detail.js";
import { duration, plural } from "./format.js";
import { useKeys } from "./keys.js";
import { Copy, Failure, Money, Repriced, ScoreTag, Time, Tokens, pricesOf } from "./parts.js";
import { ancestors, treeOf, visible } from "./tree.js";
import { Waterfall } from "./waterfall.js";

const NARROW = matchMedia("(max-width: 900px)");

function useNarrow() {
  const [narrow, setNarrow] = useState(NARROW.matches);
  useEffect(() => {
    const changed = () => setNarrow(NARROW.matches);
    NARROW.addEventListener("change", changed);
    return () => NARROW.removeEventListener("change", changed);
  }, []);
  return narrow;
}

// Answers about single spans, the latest few: walking back and forth asks once.
function useSpan(id, key, project, prices, stamp) {
  const [full, setFull] = useState({ key: "", span: null, failure: null });
  const cache = useRef(new Map());
  useEffect(() => {
    if (!key) return undefined;
    const name = `${key} ${prices} ${stamp}`;
    const known = cache.current.get(name);
    if (known) return setFull({ key, span: known, failure: null });
    const control = new AbortController();
    // Holding an arrow key down must not ask for every span that is passed.
    const timer = setTimeout(async () => {
      try {
        const span = await ask(`/api/v1/traces/${id}/spans/${encodeURIComponent(key)}`, { project, prices }, control.signal);
        cache.current.set(name, span);
        if (cache.current.size > 60) cache.current.delete(cache.current.keys().next().value);
        setFull({ key, span, failure: null });
      } catch (failure) {
        if (failure.name !== "AbortError") setFull({ key, span: null, failure });
      }
    }, 60);
    return () => { clearTimeout(timer); control.abort(); };
  }, [id, key, project, prices, stamp]);
  return full;
}

export function Trace({ id, query }) {
  const narrow = useNarrow();
  const project = query.project ?? "";
  const prices = pricesOf(query);
  const { answer, failure } = useAnswer(`/api/v1/traces/${encodeURIComponent(id)}/skeleton`, { project, ...prices });
  const tree = useMemo(() => answer && treeOf(answer), [answer]);
  const judged = useAnswer(tree ? "/api/v1/scores" : "", { trace_id: id, project: tree?.summary.project, limit: 200 });
  const scores = judged.answer?.scores ?? [];
  const [folded, setFolded] = useState(new Set());
  const shown = useMemo(() => (tree ? visible(tree.rows, folded) : []), [tree, folded]);
  const chosen = query.span ?? "";
  const row = tree?.rows.find((each) => each.key === chosen) ?? null;
  const full = useSpan(encodeURIComponent(id), chosen, project, prices.prices ?? "", row ? `${row.took} ${row.end}` : "");

  useEffect(() => { if (tree) document.title = `${tree.summary.name || "Trace"} · everyspan`; }, [tree?.summary.name]);
  // A span that was sent by address may lie under a fold.
  useEffect(() => {
    if (!row) return;
    const hiding = ancestors(tree.rows, row).filter((each) => folded.has(each.key));
    if (hiding.length) setFolded(new Set([...folded].filter((key) => !hiding.some((each) => each.key === key))));
  }, [row, tree]);

  const choose = (key) => change({ span: key }, { replace: true });
  const fold = (key, closed = !folded.has(key)) => {
    const next = new Set(folded);
    if (closed) next.add(key); else next.delete(key);
    setFolded(next);
  };
  const place = shown.findIndex((each) => each.key === chosen);
  const step = (by) => shown.length && choose(shown[Math.max(0, Math.min(shown.length - 1, place < 0 ? 0 : place + by))].key);
  const jump = (fits) => {
    const from = row ? row.index + 1 : 0;
    const found = tree?.rows.slice(from).find(fits) ?? tree?.rows.find(fits);
    if (found) choose(found.key);
  };
  useKeys({
    j: () => step(1), ArrowDown: () => step(1), k: () => step(-1), ArrowUp: () => step(-1),
    PageDown: () => step(20), PageUp: () => step(-20), Home: () => shown.length && choose(shown[0].key), End: () => shown.length && choose(shown.at(-1).key),
    ArrowLeft: () => row && (row.children && !folded.has(row.key) ? fold(row.key, true) : row.parentIndex >= 0 && choose(tree.rows[row.parentIndex].key)),
    ArrowRight: () => row && (folded.has(row.key) ? fold(row.key, false) : row.children && choose(tree.rows[row.index + 1].key)),
    e: () => jump((each) => each.status === "error"),
    c: () => dearest(tree, row, choose),
    Enter: (event) => (event.target.closest?.("a, button, summary") ? event.target.click() : !row && step(0)),
    Escape: () => (chosen ? choose("") : go("/", prices)),
  });

  if (failure && !tree) return html`<div class="empty"><h2>${failure.status === 404 ? "This trace is not here" : "This trace can not be shown"}</h2><p>${failure.message}</p>
    <p><${Link} to="/">All traces<//></p></div>`;
  if (!tree) return html`<div class="trace" aria-busy="true"></div>`;
  const branches = tree.rows.filter((each) => each.children && each.depth > 0);
  return html`<div class=${`trace ${chosen ? "split" : ""}`}>
    <${Head} tree=${tree} id=${id} query=${query} scores=${scores} folded=${folded.size > 0} foldAll=${branches.length ? (all) => setFolded(new Set(all ? branches.map((each) => each.key) : [])) : null} />
    <${Failure} failure=${failure} />
    <div class="panes">
      <${Waterfall} tree=${tree} shown=${shown} folded=${folded} chosen=${chosen} choose=${choose} fold=${fold} compact=${narrow || Boolean(chosen)} />
      ${chosen && html`<${Detail} row=${row} full=${full.key === chosen ? full.span : null} failure=${full.key === chosen ? full.failure : null}
        known=${Boolean(row)} prices=${prices} scores=${scores.filter((score) => row && score.span_id === row.id)} close=${() => { choose(""); document.getElementById("waterfall")?.focus(); }} />`}
    </div></div>`;
}

function dearest(tree, row, choose) {
  const calls = tree.rows.filter((each) => each.cost !== null && !each.unbilled).sort((a, b) => Number(b.cost) - Number(a.cost) || a.index - b.index);
  if (calls.length) choose(calls[(calls.findIndex((each) => each === row) + 1) % calls.length].key);
}

function Head({ tree, id, query, scores, folded, foldAll }) {
  const prices = pricesOf(query);
  const { summary, rows } = tree;
  const lost = rows.filter((row) => row.missing && !row.ledger).length;
  const entries = rows.filter((row) => row.ledger).length;
  const cut = rows.filter((row) => row.end === "interrupted").length;
  return html`<div class="trace-head">
    <div class="title"><h1><${Link} to="/" query=${prices} class="back" aria-label="all traces">←<//> ${summary.name || "(no name)"}</h1>
      <span class="end"><span class="id mono">${id}</span><${Copy} text=${id} what="the trace id" />
      <${Repriced} query=${query} />${foldAll && html`<button type="button" class="plain" onClick=${() => foldAll(!folded)}>${folded ? "unfold all" : "fold all"}</button>`}</span></div>
    <p class="facts"><${Time} ns=${summary.started_ns} /> · <b>${duration(tree.length)}</b> · ${plural(summary.spans, "span")} · ${plural(summary.calls, "call")} ·
      ${" "}<${Tokens} read=${summary.input_tokens} written=${summary.output_tokens} /> · <b id="trace-cost"><${Money} amount=${summary.cost} states=${summary.states} calls=${summary.calls} exact /></b>
      ${summary.errors ? html` <span class="tag bad">${plural(summary.errors, "error")}</span>` : ""}
      ${cut ? html` <span class="tag warn">${cut} interrupted</span>` : ""}${lost ? html` <span class="tag warn">${plural(lost, "parent")} missing</span>` : ""}
      ${entries ? html` <span class="tag" title="the program's sampler wanted no span of them">${entries} sampled out: usage and cost only</span>` : ""}
      ${summary.states.unbilled ? html` <span class="tag">${summary.states.unbilled} unbilled</span>` : ""}
      ${summary.user && html` <span class="tag-group">user <${Link} to="/" query=${{ user: summary.user, ...prices }}>${summary.user}<//></span>`}
      ${summary.session && html` <span class="tag-group">session <${Link} to="/" query=${{ session: summary.session, ...prices }}>${summary.session}<//></span>`}
      ${summary.environment && summary.environment !== "default" ? html` <span class="tag">${summary.environment}</span>` : ""}
      ${summary.tags.map((tag) => html` <${Link} key=${tag} to="/" query=${{ tag, ...prices }} class="tag">${tag}<//>`)}
      ${scores.filter((score) => !score.span_id).map((score) => html` <${ScoreTag} key=${score.id} score=${score} />`)}</p></div>`;
}

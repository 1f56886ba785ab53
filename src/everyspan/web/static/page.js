// What is shown, and when it is asked for. The open trace is the hash of the address; everything else is asked anew.
import { bar, callCost, count, duration, el, moment, money, plural, pretty, sumCost, table, tokens } from "./draw.js";

const EVERY_MS = 2000;
const place = (id) => document.getElementById(id);
const shown = new Map();      // place -> the answer it was drawn from: unchanged answers leave focus and selection alone
const opened = new Map();     // key of a span whose details are open -> what was answered, or null while we wait
let limit = 50;
let openTrace = "";
let round = 0;

async function ask(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" } });
  const said = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(said.error ?? answer.statusText), { status: answer.status });
  return said;
}

function draw(id, answer, make, { force = false } = {}) {
  const text = JSON.stringify(answer);
  if (!force && shown.get(id) === text) return;
  shown.set(id, text);
  const focused = document.activeElement?.id;
  place(id).replaceChildren(...make(answer));
  if (focused && document.activeElement?.id !== focused) place(focused)?.focus();
}

const plain = (title) => ({ title });
const number = (title) => ({ title, class: "number" });

// ---- the list ----

const TRACE_COLUMNS = [
  { title: "Started" }, { title: "Name", class: "name" }, plain("Service"), number("Took"), number("Spans"),
  number("Calls"), number("Tokens"), number("Cost"), number("Errors"),
];

function drawTraces({ traces }) {
  if (!traces.length) return [el("p", { class: "dim" }, "No traces yet. `everyspan run script.py` makes some.")];
  return [table("traces, newest first", TRACE_COLUMNS, traces.map((trace) => [
    moment(trace.started_ns),
    el("a", { href: `#trace/${trace.trace_id}`, id: `to-${trace.trace_id}` }, trace.name || "(no name)"),
    trace.services.join(", "),
    duration(trace.ended_ns - trace.started_ns),
    count(trace.spans),
    count(trace.calls),
    trace.calls ? tokens(trace) : "",
    sumCost(trace),
    trace.errors ? el("span", { class: "bad" }, count(trace.errors)) : "0",
  ]))];
}

const COST_COLUMNS = [{ title: "Model", class: "name" }, number("Calls"), number("Tokens"), number("Cost")];

function drawCosts({ groups, total }) {
  if (!groups.length) return [el("p", { class: "dim" }, "No calls yet.")];
  const row = (group, name) => [name, count(group.calls), tokens(group), sumCost(group)];
  return [table("cost by model", COST_COLUMNS, groups.map((group) => row(group, group.value || "(not said)")), row(total, "Total"))];
}

// ---- the audit ----

const COLOURS = { complete: "good", open: "warn", pending: "warn", unproven: "", dropped: "bad", missing: "bad" };
const ranges = (list) => list.map(([first, last]) => (first === last ? `${first}` : `${first}–${last}`)).join(", ");

function reasons(writer) {
  const why = [];
  if (writer.missing.length) why.push(`numbers ${ranges(writer.missing)} are missing`);
  for (const lost of writer.dropped) why.push(`numbers ${ranges([[lost.first, lost.last]])} were dropped: ${lost.reason}`);
  if (writer.pending.length) why.push(`numbers ${ranges(writer.pending)} have not arrived`);
  if (writer.open_calls) why.push(`${plural(writer.open_calls, "call")} began and did not end`);
  if (!why.length && !writer.state.closed) why.push("it still runs");
  return why.join("; ");
}

function drawAudit([audit, health]) {
  const earned = audit.verdict === "complete" && health.quarantined === 0;
  const noun = audit.unproven ? "numbered span" : "span";
  const words = earned ? `complete: ${count(audit.spans)} of ${plural(audit.spans, noun)}` : audit.verdict;
  const lines = [el("p", {}, el("span", { class: `badge ${earned ? "good" : COLOURS[audit.verdict] ?? "warn"}`, id: "verdict" }, words))];
  const open = audit.writers.filter((writer) => writer.verdict !== "complete");
  if (open.length) {
    lines.push(el("ul", {}, ...open.slice(0, 20).map((writer) => el("li", {},
      `${writer.verdict}: `, el("code", {}, writer.state.writer), ` ${writer.state.services.join(", ")}: ${reasons(writer)}`))));
  }
  if (open.length > 20) lines.push(el("p", {}, `and ${plural(open.length - 20, "more writer")}`));
  const notes = [];
  if (audit.interrupted) notes.push(`${plural(audit.interrupted, "call")} interrupted: the process died`);
  if (audit.unproven) notes.push(`${plural(audit.unproven, "span")} came without a number: nothing can prove that none is missing`);
  if (health.inbox_pending) notes.push(`${plural(health.inbox_pending, "request")} on the way from the inbox to the store`);
  if (health.quarantined) notes.push(`${plural(health.quarantined, "request")} set aside: the server's log says why`);
  if (health.problem) notes.push(health.problem);
  if (!audit.writers.length && !audit.unproven) notes.push("nothing has arrived yet");
  if (notes.length) lines.push(el("p", { class: "dim" }, `${notes.join(". ")}.`));
  return lines;
}

// ---- one trace ----

function drawTrace({ summary, spans }) {
  place("one-title").replaceChildren(document.createTextNode(summary.name || "(no name)"));
  const length = Math.max(1, summary.ended_ns - summary.started_ns);
  const facts = el("p", { class: "dim" }, moment(summary.started_ns), ` · ${duration(length)} · ${plural(summary.spans, "span")} · `
    + `${plural(summary.calls, "call")} · `, sumCost(summary), ` · ${summary.trace_id}`);
  const lines = spans.map((span, index) => el("li", {},
    spanLine(span, index, summary.started_ns, length), opened.has(span.key) ? details(span) : null));
  return [facts, el("ol", { class: "tree" }, ...lines)];
}

function spanLine(span, index, from, length) {
  const shift = Math.min(span.depth, 30);
  const marks = [];
  if (span.end === "interrupted") marks.push(el("span", { class: "badge bad" }, "interrupted"));
  else if (span.end && !["complete", "error"].includes(span.end)) marks.push(el("span", { class: "badge warn" }, span.end));
  if (span.status === "error" && span.end !== "interrupted") marks.push(el("span", { class: "bad" }, `error ${span.status_message}`));
  if (span.parent_missing) marks.push(el("span", { class: "warn" }, "its parent is not here"));
  return el("div", { class: "line" },
    el("div", {}, "\u2007\u2007".repeat(shift), el("button", {
      type: "button", id: `span-${index}`, "aria-expanded": String(opened.has(span.key)),
      "aria-label": `level ${span.depth + 1}: ${span.name}`, on: { click: () => toggle(span.key) },
    }, `${opened.has(span.key) ? "▾" : "▸"} ${span.name}`), el("span", { class: "kind" }, span.model || span.kind), " ", ...marks),
    bar(span, from, length),
    el("div", { class: "number" }, duration(span.end_ns - span.start_ns)),
    el("div", { class: "number" }, tokens(span.usage)),
    el("div", { class: "number" }, callCost(span)));
}

function details(span) {
  const full = opened.get(span.key);
  if (!full) return el("div", { class: "detail dim" }, "…");
  const fact = (name, value) => (value === "" || value === null ? [] : [el("dt", {}, name), el("dd", {}, value)]);
  const facts = el("dl", {},
    ...fact("kind", full.kind), ...fact("model", full.model), ...fact("provider", full.provider),
    ...fact("status", full.status === "unset" ? "" : `${full.status} ${full.status_message}`), ...fact("end", full.end),
    ...fact("first token", full.first_token_ns === null ? "" : duration(full.first_token_ns)),
    ...fact("cost", full.cost === null ? full.cost_state ?? "" : `${money(full.cost)} (${full.cost_state})`),
    ...fact("not billed", full.unbilled), ...fact("user", full.user), ...fact("session", full.session),
    ...fact("stamp", full.writer === null ? "none" : `${full.writer}, number ${full.seq}`), ...fact("span", full.span_id));
  const text = (title, content) => (content ? [el("h3", {}, title), el("pre", { tabindex: "0", "aria-label": title }, pretty(content))] : []);
  return el("div", { class: "detail" }, facts, ...text("Input", full.input), ...text("Output", full.output),
    ...text("Attributes", JSON.stringify(full.attributes)));
}

async function toggle(key) {
  if (opened.has(key)) opened.delete(key);
  else opened.set(key, null);
  redrawTrace();
  if (!opened.has(key)) return;
  try {
    const full = await ask(`/api/v1/traces/${openTrace}/spans/${encodeURIComponent(key)}`);
    if (opened.has(key)) opened.set(key, full);
    redrawTrace();
  } catch (failure) {
    opened.delete(key);
    say(failure);
  }
}

function redrawTrace() {
  const text = shown.get("trace");
  if (text) draw("trace", JSON.parse(text), drawTrace, { force: true });
}

// ---- the clock ----

function say(failure) {
  place("problem").hidden = !failure;
  place("problem").className = "bad";
  place("problem").textContent = failure ? `The server does not answer: ${failure.message}` : "";
  if (failure?.status === 404) place("problem").textContent = failure.message;
}

async function refresh() {
  const mine = ++round;
  const trace = openTrace;
  try {
    const asked = [ask("/api/v1/completeness"), ask("/api/v1/health")];
    if (trace) asked.push(ask(`/api/v1/traces/${encodeURIComponent(trace)}?bodies=no`));
    else asked.push(ask(`/api/v1/traces?limit=${limit}`), ask("/api/v1/costs?by=model"));
    const [audit, health, ...rest] = await Promise.all(asked);
    if (mine !== round) return;   // a later question was answered first, or another trace was opened
    const { inbox_pending, quarantined, problem } = health;
    draw("audit", [audit, { inbox_pending, quarantined, problem }], drawAudit);
    if (trace) {
      draw("trace", rest[0], drawTrace);
    } else {
      draw("traces", rest[0], drawTraces);
      draw("costs", rest[1], drawCosts);
      place("more").hidden = !rest[0].next_cursor || limit >= 1000;
    }
    say(null);
  } catch (failure) {
    if (mine === round) say(failure);
  }
}

async function follow() {
  const before = openTrace;
  openTrace = decodeURIComponent(location.hash.match(/^#trace\/(.+)$/)?.[1] ?? "");
  place("one").hidden = !openTrace;
  place("all").hidden = Boolean(openTrace);
  if (before !== openTrace) {
    opened.clear();
    shown.delete("trace");
    place("trace").replaceChildren();
    place("one-title").textContent = "";
  }
  await refresh();
  if (openTrace && before !== openTrace) place("one-title").focus();
  else if (before && !openTrace) place(`to-${before}`)?.focus();
}

async function poll() {
  if (!document.hidden) await refresh();
  setTimeout(poll, EVERY_MS);
}

place("more").addEventListener("click", () => {
  limit = Math.min(1000, limit * 4);
  refresh();
});
addEventListener("hashchange", follow);
await follow();
setTimeout(poll, EVERY_MS);

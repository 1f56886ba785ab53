// Is everything here? Green is earned: every number of every finished writer is a stored span. Red says which and why.
import { html } from "./html.js";
import { useAnswer } from "./ask.js";
import { count, plural } from "./format.js";
import { Empty, Failure, Time } from "./parts.js";

const TONES = { complete: "good", open: "warn", pending: "warn", unproven: "", dropped: "bad", missing: "bad" };
const WORDS = {
  complete: "Every number that every writer gave out is here, and all writers are finished.",
  open: "All that was given out so far is here. A writer still runs, or a call has begun and not ended.",
  pending: "Some spans are still on their way: in a spool on disk, or in this server's inbox. `everyspan drain` delivers what dead processes left.",
  dropped: "Some spans could not be kept. Their writers said which and why; nothing is unexplained.",
  missing: "Numbers are missing that nobody explained. Look for a spool that was never delivered: `everyspan spool` on the machine of that writer.",
  unproven: "Nothing numbered has arrived, so there is nothing to check against. Spans recorded by everyspan carry numbers.",
};
const REASONS = {
  cap: "the spool was at its limit", "gave way": "gave way to newer spans at the limit", disk: "the disk refused it", "too large": "too large for the spool", deleted: "the spool was deleted",
  interrupted: "the process died while writing it", refused: "the collector called it malformed",
  "set aside": "a server on the way refused it for good; it is kept in its writer's spool",
};

export function ranges(list, most = 6) {
  const words = list.slice(0, most).map(([first, last]) => (first === last ? count(first) : `${count(first)}–${count(last)}`));
  return words.join(", ") + (list.length > most ? ` and ${list.length - most} more` : "");
}

function reasons(writer) {
  const why = [];
  if (writer.missing.length) why.push(["bad", `${ranges(writer.missing)} missing, unexplained`]);
  for (const [reason, list] of Object.entries(Object.groupBy ? Object.groupBy(writer.dropped, (lost) => lost.reason) : {})) {
    why.push(["bad", `${ranges(list.map((lost) => [lost.first, lost.last]))} dropped: ${REASONS[reason] ?? reason}`]);
  }
  if (writer.pending.length) why.push(["warn", `${ranges(writer.pending)} not yet arrived`]);
  for (const [host, calls] of Object.entries(writer.state.about?.without_span ?? {})) why.push(["warn", `${plural(calls, "call")} to ${host} had no span`]);
  if (writer.open_calls) why.push(["warn", `${plural(writer.open_calls, "call")} began and did not end`]);
  if (writer.state.interrupted) why.push(["warn", `${plural(writer.state.interrupted, "span")} interrupted: the process died in the call`]);
  if (!writer.state.closed && !why.length) why.push(["dim", "still running"]);
  return why;
}

function Seal({ tone }) {
  return html`<svg width="34" height="34" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">
    <circle cx="12" cy="12" r="10"/>${tone === "good" ? html`<path d="m7.5 12.5 3 3 6-7"/>` : tone === "bad" ? html`<path d="M12 7v6M12 16.6v.1"/>` : html`<path d="M12 7v5l3 2"/>`}</svg>`;
}

export function Completeness() {
  const { answer, failure } = useAnswer("/api/v1/completeness");
  const health = useAnswer("/api/v1/health").answer;
  if (!answer) return html`<div class="room" aria-busy="true"><${Failure} failure=${failure} /></div>`;
  if (!answer.writers.length && !answer.unnumbered.length) {
    return html`<div class="room"><${Empty} title="Nothing has arrived yet" commands=${["everyspan run script.py", "everyspan audit      # the same in the terminal; exit code 0 only when complete"]}>Spans carry numbers. Once some are here, this page says whether one is missing.<//></div>`;
  }
  const set_aside = health?.quarantined ?? 0;
  const earned = answer.verdict === "complete" && !set_aside;
  const tone = earned ? "good" : TONES[answer.verdict] || (set_aside ? "bad" : "");
  const title = earned ? `Complete: ${count(answer.spans)} of ${plural(answer.spans, answer.unproven ? "numbered span" : "span")}` : `${answer.verdict[0].toUpperCase()}${answer.verdict.slice(1)}`;
  return html`<div class="room"><h1 class="hidden">Completeness</h1><${Failure} failure=${failure} />
    <section class=${`seal ${tone}`} id="seal" aria-live="polite"><${Seal} tone=${tone} /><div><h2>${title}</h2><p>${WORDS[answer.verdict]}</p>
      ${answer.unproven && answer.writers.length ? html`<p>${plural(answer.unproven, "more span")} came without a number, from other recorders: nothing can prove that none of those is missing.</p>` : ""}
      ${set_aside ? html`<p>${plural(set_aside, "request")} ${set_aside === 1 ? "was" : "were"} set aside as unreadable; the server's log says why.</p>` : ""}</div></section>
    <dl class="cards">${[["Stored", answer.spans, ""], ["Interrupted", answer.interrupted, answer.interrupted ? "warn" : ""], ["Open calls", answer.open_calls, answer.open_calls ? "warn" : ""], ["Pending", answer.pending, answer.pending ? "warn" : ""],
      ["Dropped", answer.dropped, answer.dropped ? "bad" : ""], ["Missing", answer.missing, answer.missing ? "bad" : ""], ["Without a number", answer.unproven, ""]].map(([name, number, look]) => html`
      <div class="card" key=${name}><dt>${name}</dt><dd class=${look}>${count(number)}</dd></div>`)}</dl>
    ${Object.entries(answer.without_span ?? {}).map(([host, calls]) => html`<p class="warn" key=${host}>${plural(calls, "call")} to <b>${host}</b> had no span: what made ${calls === 1 ? "it" : "them"} is not instrumented.</p>`)}
    ${answer.inbox_pending ? html`<p class="dim">${plural(answer.inbox_pending, "request")} on the way from the inbox to the store.</p>` : ""}
    ${answer.writers.length > 0 && html`<div class="wide" tabindex="0" role="region" aria-label="Writers"><table class="list" id="writers"><thead><tr><th scope="col">Writer</th><th scope="col">Service</th><th scope="col">Verdict</th><th scope="col" class="share-cell">Numbers</th><th scope="col" class="number">Spans</th><th scope="col">Why</th><th scope="col">Last seen</th></tr></thead>
      <tbody>${answer.writers.map((writer) => html`<${Writer} key=${`${writer.state.project}/${writer.state.writer}`} writer=${writer} />`)}</tbody></table></div>`}
    ${answer.unnumbered.map((group) => html`<p class="dim apart" key=${`${group.project}/${group.service}`}>${plural(group.spans, "span")} of <b>${group.service || "an unnamed service"}</b> came without a number, from another recorder: nothing can prove that none is missing.</p>`)}</div>`;
}

const ORDER = { host: 1, pid: 1, library: 1 };

function Writer({ writer }) {
  const { state } = writer;
  const about = typeof state.about === "object" && state.about ? state.about : {};
  const where = Object.keys(ORDER).filter((name) => about[name]).map((name) => `${name} ${about[name]}`).join(", ");
  return html`<tr><td><code title=${where}>${state.writer}</code></td><td>${state.services.join(", ")}</td><td><span class=${`state ${TONES[writer.verdict] ?? ""}`}>${writer.verdict}</span></td>
    <td class="share-cell"><${Numbers} writer=${writer} /></td><td class="number">${count(state.spans)}</td>
    <td class="why">${reasons(writer).map(([tone, text]) => html`<div class=${tone} key=${text}>${text}</div>`)}</td><td>${state.seen_ns ? html`<${Time} ns=${state.seen_ns} relative />` : ""}</td></tr>`;
}

// The line of numbers from 1 to the last one: what is here, what is gone, what is to come.
function Numbers({ writer }) {
  const { state } = writer;
  const top = Math.max(1, state.spooled_to, ...[state.received, writer.pending, writer.missing].map((list) => list.at(-1)?.[1] ?? 0), ...writer.dropped.map((lost) => lost.last));
  const parts = [["here", state.received], ["later", writer.pending], ["lost", writer.dropped.map((lost) => [lost.first, lost.last])], ["gone", writer.missing]];
  return html`<svg class="seq" viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label=${`numbers 1 to ${top}`}>${parts.map(([name, list]) => list.slice(0, 400).map(([first, last]) => html`
    <rect key=${`${name}${first}`} class=${name} x=${(1000 * (first - 1)) / top} width=${Math.max(name === "gone" || name === "lost" ? 6 : 1, (1000 * (last - first + 1)) / top)} height="10" />`))}</svg>`;
}

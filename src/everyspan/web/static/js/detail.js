// All that is known of one span. Long texts are folded; everything a model said is a text node.
import { html, useState } from "./html.js";
import { Link } from "./address.js";
import { Chat, chatOf } from "./chat.js";
import { count, duration, money, moment } from "./format.js";
import { Json } from "./json.js";
import { Copy, ScoreTag } from "./parts.js";

export function Detail({ row, full, failure, known, prices, scores, close }) {
  const span = full ?? null;
  return html`<aside class="detail" aria-label="Span" id="detail">
    <header><h2><i class=${`kind k-${row?.kind ?? "span"}`} aria-hidden="true"></i> ${row?.name ?? span?.name ?? "Span"}</h2>
      <span class="end"><button type="button" class="plain" onClick=${close} aria-label="close (Esc)">✕</button></span></header>
    ${failure && html`<p class="alert" role="alert">${failure.message}</p>`}
    ${!known && !span && !failure ? html`<p class="dim">This span is not in the trace (yet).</p>` : ""}
    ${span ? html`<${Facts} span=${span} lost=${row?.missing} prices=${prices} /><${Scores} scores=${scores} /><${Sum} span=${span} /><${Texts} span=${span} /><${Rest} span=${span} />` : !failure && html`<div aria-busy="true"></div>`}
  </aside>`;
}

function Scores({ scores }) {
  if (!scores.length) return null;
  return html`<section><h3>Scores</h3>${scores.map((score) => html`<p key=${score.id}><${ScoreTag} score=${score} /> <span class="dim">${score.comment}</span></p>`)}</section>`;
}

function Fact({ name, children }) {
  if (children === "" || children === null || children === undefined || children === false) return null;
  return html`<dt>${name}</dt><dd>${children}</dd>`;
}

function Facts({ span, lost, prices }) {
  const took = span.end_ns - span.start_ns;
  const said = span.attributes?.attributes ?? {};
  const asked = said["gen_ai.request.model"] ?? "";
  return html`
    ${span.status === "error" && span.end !== "interrupted" && html`<p class="note bad">${span.status_message || "it failed, and no reason came with it"}</p>`}
    ${span.end === "interrupted" && html`<p class="note warn">Interrupted: the process died before this call ended. What had arrived is below; tokens and cost are an estimate.</p>`}
    ${span.unbilled && html`<p class="note">Not billed: ${span.unbilled}. It is kept, and not in any sum.</p>`}
    ${span.scope === "everyspan.ledger" && html`<p class="note">Sampled out: usage and cost only. The program's own sampler wanted no span of this call.</p>`}
    ${lost && span.scope !== "everyspan.ledger" && html`<p class="note warn">Its parent <code>${span.parent_id}</code> has not arrived.</p>`}
    <dl class="facts-grid">
      <${Fact} name="kind">${span.kind}<//><${Fact} name="model">${span.model}<//><${Fact} name="provider">${span.provider}<//>
      <${Fact} name="took">${duration(took)}<//>
      <${Fact} name="first token">${span.first_token_ns === null ? "" : html`${duration(span.first_token_ns)} <span class="dim">then ${speed(span, took)}</span>`}<//>
      <${Fact} name="end">${span.end}<//>
      <${Fact} name="asked for">${asked && asked !== span.model && !span.model.startsWith(asked) ? asked : ""}<//>
      <${Fact} name="attempts">${said["everyspan.attempts"] > 1 ? String(said["everyspan.attempts"]) : ""}<//>
      <${Fact} name="user">${span.user && html`<${Link} to="/" query=${{ user: span.user, ...prices }}>${span.user}<//>`}<//>
      <${Fact} name="session">${span.session && html`<${Link} to="/" query=${{ session: span.session, ...prices }}>${span.session}<//>`}<//>
      <${Fact} name="started">${moment(span.start_ns)}<//></dl>`;
}

function speed(span, took) {
  const rest = took - span.first_token_ns;
  const written = span.usage.output_tokens;
  return rest > 0 && written ? `${Math.round(written / (rest / 1e9))} tokens/s` : "";
}

const KINDS = {
  input_tokens: "input", output_tokens: "output", cache_read_tokens: "cache read", cache_write_tokens: "cache write", cache_write_1h_tokens: "cache write, 1 h",
  reasoning_tokens: "reasoning", input_audio_tokens: "audio in", output_audio_tokens: "audio out", cache_read_audio_tokens: "cached audio",
  input_image_tokens: "images in", output_image_tokens: "images out", requests: "requests", web_searches: "web searches",
};
const WHY = {
  stated: "The sender stated this amount.", computed: "Every token has a price.", partial: "Some tokens have no price: this is the least it cost.",
  estimated: "The tokens are an estimate, so the cost is one too.", unpriced: "There is no amount.",
};

// Usage, and how the cost comes out of it, line by line: a reader can redo the sum.
function Sum({ span }) {
  const usage = Object.entries(span.usage ?? {}).filter(([kind, number]) => KINDS[kind] && number !== null);
  if (!span.cost_state && !usage.length) return null;
  const lines = span.cost_lines ?? [];
  const note = span.cost_note && typeof span.cost_note === "object" ? span.cost_note : {};
  const from = [note.model, note.table].filter(Boolean).join(", prices of ");
  return html`<section><h3>Usage and cost</h3>
    ${lines.length ? html`<table class="sum"><thead><tr><th scope="col">kind</th><th scope="col" class="number">tokens</th><th scope="col" class="number">$ per million</th><th scope="col" class="number">cost</th></tr></thead>
      <tbody>${lines.map((line) => html`<tr key=${line.kind}><td>${KINDS[line.kind] ?? line.kind}</td><td class="number">${count(line.tokens)}</td><td class="number">${line.per_million}</td><td class="number">${money(line.amount)}</td></tr>`)}</tbody>
      <tfoot><tr><td colspan="3">${span.cost_state}</td><td class="number">${money(span.cost)}</td></tr></tfoot></table>`
    : html`<table class="sum"><tbody>${usage.map(([kind, number]) => html`<tr key=${kind}><td>${KINDS[kind]}</td><td class="number">${count(number)}</td></tr>`)}</tbody>
      ${span.cost_state && html`<tfoot><tr><td>${span.cost_state}</td><td class="number">${span.cost === null ? "no price" : money(span.cost)}</td></tr></tfoot>`}</table>`}
    ${span.cost_state && html`<p class="dim small">${WHY[span.cost_state]}${note.stated_by ? ` Stated in ${note.stated_by}.` : ""}${note.unpriced?.length ? ` ${note.unpriced.join("; ")}.` : ""}${from ? ` ${from}.` : ""}</p>`}
  </section>`;
}

function Texts({ span }) {
  return html`<${Text} title="Input" text=${span.input} /><${Text} title="Output" text=${span.output} />
    ${span.attributes?.attributes?.["everyspan.shed"] && html`<p class="note warn">Texts were left out to save room: ${String(span.attributes.attributes["everyspan.shed"])}.</p>`}`;
}

function Text({ title, text }) {
  const [raw, setRaw] = useState(false);
  if (!text) return null;
  const chat = chatOf(text);
  return html`<section class="said"><h3>${title}<span class="end">${chat && html`<button type="button" class="plain" aria-pressed=${String(raw)} onClick=${() => setRaw(!raw)}>JSON</button>`}<${Copy} text=${text} what=${title.toLowerCase()} /></span></h3>
    ${chat && !raw ? html`<${Chat} messages=${chat} />` : html`<${Json} text=${text} label=${title} />`}</section>`;
}

function Rest({ span }) {
  const { attributes = {}, resource = {}, events = [], links = [] } = span.attributes ?? {};
  const tools = attributes["gen_ai.tool.definitions"];
  const others = Object.fromEntries(Object.entries(attributes).filter(([name]) => name !== "gen_ai.tool.definitions"));
  return html`
    ${tools && html`<${Folded} title="Tools offered" text=${typeof tools === "string" ? tools : JSON.stringify(tools)} />`}
    ${events.length > 0 && html`<${Folded} title=${`Events (${events.length})`} text=${JSON.stringify(events)} />`}
    ${links.length > 0 && html`<${Folded} title=${`Links (${links.length})`} text=${JSON.stringify(links)} />`}
    <${Pairs} title="Attributes" pairs=${others} /><${Pairs} title="Resource" pairs=${resource} />
    <${Pairs} title="Identity" pairs=${{ span: span.span_id, parent: span.parent_id ?? "none", stamp: span.writer === null ? "none" : `${span.writer}, number ${span.seq}`,
      project: span.project, service: span.service, scope: span.scope, "response id": span.response_id, received: moment(span.received_ns) }} />`;
}

function Folded({ title, text }) {
  const [open, setOpen] = useState(false);
  return html`<details class="fold-part" onToggle=${(event) => setOpen(event.currentTarget.open)}><summary>${title}</summary>${open && html`<${Json} text=${text} label=${title} />`}</details>`;
}

function Pairs({ title, pairs }) {
  const entries = Object.entries(pairs).filter(([, value]) => value !== "");
  if (!entries.length) return null;
  return html`<details class="fold-part"><summary>${title} <span class="dim">${entries.length}</span></summary>
    <dl class="pairs">${entries.map(([name, value]) => html`<dt key=${name}>${name}</dt><dd>${typeof value === "string" ? value : JSON.stringify(value)}</dd>`)}</dl></details>`;
}

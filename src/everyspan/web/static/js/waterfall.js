// Tree and timeline in one scroll area. Only the rows in sight are in the document, so ten thousand spans scroll like ten.
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./html.js";
import { count, duration, money, roughly, short } from "./format.js";
import { ticks } from "./tree.js";

export const ROW = 28;
const SPARE = 6;
// Browsers stop laying out somewhere above 16 million pixels; half of that is room for 300,000 rows.

export function Waterfall({ tree, shown, folded, chosen, choose, fold, compact }) {
  const box = useRef(null);
  const [view, setView] = useState({ top: 0, height: 600 });

  useLayoutEffect(() => {
    const element = box.current;
    let asked = 0;
    const measure = () => {
      asked = 0;
      const top = Math.floor(element.scrollTop / ROW);
      const height = element.clientHeight;
      setView((before) => (before.top === top && before.height === height ? before : { top, height }));
    };
    const scrolled = () => { asked ||= requestAnimationFrame(measure); };
    element.addEventListener("scroll", scrolled, { passive: true });
    const sized = new ResizeObserver(scrolled);
    sized.observe(element);
    measure();
    return () => { element.removeEventListener("scroll", scrolled); sized.disconnect(); cancelAnimationFrame(asked); };
  }, []);

  const at = useMemo(() => shown.findIndex((row) => row.key === chosen), [shown, chosen]);
  useEffect(() => {
    if (at < 0) return;
    const element = box.current;
    const top = at * ROW;
    const room = element.clientHeight - ROW * 2;
    if (top < element.scrollTop) element.scrollTop = Math.max(0, top - ROW);
    else if (top > element.scrollTop + room) element.scrollTop = top - room + ROW;
  }, [at]);

  // A row that looks as before is the same object as before, and Preact passes over it: a turn of the wheel draws the
  // four rows that came into sight and not all forty. Those take the elements of the four that went (`key`), so that a
  // jump makes no elements either.
  const size = Math.ceil(view.height / ROW) + 2 * SPARE;
  const before = useRef({ tree: null, rows: new Map() });
  if (before.current.tree !== tree) before.current = { tree, rows: new Map() };
  const acts = useRef(null);
  acts.current = { choose, fold };
  const next = new Map();
  const drawn = (row, place, shut, here) => {
    const look = `${place} ${shut} ${here} ${size}`;
    const known = before.current.rows.get(row.index);
    const entry = known?.look === look ? known : { look, node: html`<${Row} key=${place % size} row=${row} place=${place} length=${tree.length} folded=${shut} chosen=${here} acts=${acts} />` };
    next.set(row.index, entry);
    return entry.node;
  };
  useLayoutEffect(() => { before.current = { tree, rows: next }; });

  const first = Math.max(0, view.top - SPARE);
  const last = Math.min(shown.length, view.top + Math.ceil(view.height / ROW) + SPARE);
  const marks = ticks(tree.length, compact ? 3 : 6);
  return html`<div class=${`waterfall ${compact ? "compact" : ""}`}>
    <div class="axis" aria-hidden="true"><span class="axis-name">Span</span><span class="axis-number">Took</span><span class="axis-number">Tokens</span><span class="axis-number">Cost</span>
      <span class="axis-time">${marks.map((mark) => html`<i key=${mark} style=${{ left: `${(100 * mark) / tree.length}%` }}><b>${mark ? duration(mark) : "0"}</b></i>`)}</span></div>
    <div class="rows" id="waterfall" ref=${box} role="tree" tabindex="0" aria-label=${`${count(tree.rows.length)} spans`}
      aria-activedescendant=${at >= first && at < last ? `row-${shown[at].index}` : undefined}>
      <div class="tall" role="presentation" style=${{ height: `${shown.length * ROW}px` }}>
        ${shown.slice(first, last).map((row, offset) => drawn(row, first + offset, folded.has(row.key), row.key === chosen))}
      </div></div></div>`;
}

const ENDS = new Set(["", "complete", "error"]);

function Row({ row, place, length, folded, chosen, acts }) {
  const bad = row.status === "error" && row.end !== "interrupted";
  const marks = [];
  if (row.ledger) marks.push(["sampled out", "", "the program's sampler wanted no span of this call: usage and cost only"]);
  else if (row.missing) marks.push(["parent missing", "warn", "it names a parent that has not arrived"]);
  if (!ENDS.has(row.end)) marks.push([row.end, row.end === "interrupted" ? "warn" : "", ENDINGS[row.end] ?? row.end]);
  if (row.unbilled) marks.push(["unbilled", "", row.unbilled]);
  if (bad) marks.push(["error", "bad", ""]);
  if (row.again) marks.push([row.again, "", `the call before it under the same parent failed; this one asked ${row.again === "fell back" ? "another" : "the same"} model`]);
  return html`<div class=${`row ${chosen ? "chosen" : ""}`} id=${`row-${row.index}`} role="treeitem" aria-level=${row.depth + 1}
    aria-selected=${String(chosen)} aria-expanded=${row.children ? String(!folded) : undefined}
    style=${{ top: `${place * ROW}px` }} onClick=${() => acts.current.choose(row.key)}>
    <span class="what" style=${{ "--depth": Math.min(row.depth, 24) }}>
      ${row.children ? html`<span class="fold" aria-hidden="true" onClick=${(event) => { event.stopPropagation(); acts.current.fold(row.key); }}>${folded ? "▸" : "▾"}</span>` : html`<span class="fold" aria-hidden="true"></span>`}
      <i class=${`kind k-${row.kind}`} title=${row.kind} aria-hidden="true"></i>
      <span class="label"><span class="row-name">${row.name || "(no name)"}</span>${folded ? html` <span class="tag">+${count(row.last - row.index)}</span>` : ""}
      ${marks.map(([word, tone, title]) => html` <span class=${`tag ${tone}`} key=${word} title=${title}>${word}</span>`)}</span></span>
    <span class="number dim">${duration(row.took)}</span>
    <span class="number dim" title=${row.read === null && row.written === null ? "" : `${row.read ?? "?"} in, ${row.written ?? "?"} out`}>${row.read === null && row.written === null ? "" : `${row.read === null ? "?" : short(row.read)} → ${row.written === null ? "?" : short(row.written)}`}</span>
    <span class=${`number ${row.unbilled ? "struck" : ""} ${row.state && row.cost === null ? "warn" : ""}`} title=${money(row.cost)}>${costOf(row)}</span>
    <span class="track" aria-hidden="true"><${Bar} row=${row} length=${length} bad=${bad} /></span>
  </div>`;
}

const ENDINGS = {
  interrupted: "the process died before the call ended; tokens are an estimate",
  closed: "the stream was closed before its end",
  abandoned: "the stream was dropped without being read to its end",
  cancelled: "the task was cancelled",
  timeout: "the call ran into its time limit",
  exit: "the program ended before the call did",
};

const SIGNS = { estimated: "~", partial: "≥ " };

export function costOf(row) {
  if (!row.state) return "";
  if (row.cost === null) return row.state;
  return `${SIGNS[row.state] ?? ""}${roughly(row.cost)}`;
}

function Bar({ row, length, bad }) {
  const left = (100 * row.start) / length;
  const width = Math.min(100 - left, Math.max(0.15, (100 * row.took) / length));
  const tone = bad ? "k-error" : `k-${row.kind}`;
  const look = `${row.end === "interrupted" ? "interrupted" : ""} ${row.unbilled ? "unbilled" : ""}`;
  const first = row.first_token !== null && row.took > 0 ? Math.min(100, (100 * row.first_token) / row.took) : null;
  return html`<span class=${`span-bar ${tone} ${look}`} style=${{ left: `${left}%`, width: `${width}%` }}>${first !== null && html`
    <span class="before-token" style=${{ width: `${first}%` }}></span><span class="first-token" style=${{ left: `${first}%` }} title=${`first token after ${duration(row.first_token)}`}></span>`}</span>`;
}

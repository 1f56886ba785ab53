// Small things that several pages show.
import { html, useEffect, useState } from "./html.js";
import { Link, change } from "./address.js";
import { ago, count, doubts, legible, money, moment, roughly, short } from "./format.js";

export function Money({ amount, states = {}, calls = 1, exact = false }) {
  const unsure = doubts(states);
  if (amount === null && !unsure.length) return calls ? html`<span class="warn">unknown</span>` : "";
  return html`<span class="nowrap" title=${money(amount)}>${exact ? legible(amount) : roughly(amount)}${unsure.map(([calls_, state]) => html`
    <span class="tag warn doubt" key=${state} title=${DOUBTS[state]}>${count(calls_)} ${state}</span>`)}</span>`;
}

export const DOUBTS = {
  unpriced: "no price is known for these calls: they are not in the sum",
  partial: "a part of these calls has no price: the sum is at least this",
  estimated: "the tokens of these calls are an estimate: they were cut off",
};

// A judgement: its name, and the number or word; the comment and who gave it are the title.
export function ScoreTag({ score }) {
  const value = score.data_type === "BOOLEAN" ? (score.value ? "yes" : "no") : score.text || (score.value === null ? "" : String(Number(score.value.toPrecision(4))));
  return html`<span class="tag score" title=${[score.comment, score.source, score.author].filter(Boolean).join(" · ")}>${score.name} <b>${value}</b></span>`;
}

export function Tokens({ read, written }) {
  if (!read && !written) return "";
  return html`<span class="nowrap" title=${`${count(read)} in, ${count(written)} out`}>${short(read)} → ${short(written)}</span>`;
}

export function Time({ ns, relative = false }) {
  const [, tick] = useState(0);
  useEffect(() => {
    if (!relative) return undefined;
    const timer = setInterval(() => tick((round) => round + 1), 20_000);
    return () => clearInterval(timer);
  }, [relative]);
  return html`<time class="nowrap" datetime=${new Date(ns / 1e6).toISOString()} title=${moment(ns)}>${relative ? ago(ns) : moment(ns)}</time>`;
}

export function Failure({ failure }) {
  if (!failure) return null;
  return html`<p class="alert" role="alert">${failure.message}</p>`;
}

export function Empty({ title, children, commands }) {
  return html`<div class="empty"><h2>${title}</h2><p>${children}</p>${commands && html`<pre tabindex="0" aria-label="commands">${commands.join("\n")}</pre>`}</div>`;
}

export function Segments({ label, options, value, choose }) {
  return html`<div class="segments" role="group" aria-label=${label}>${options.map(([key, name]) => html`
    <button type="button" key=${key} aria-pressed=${String(key === value)} onClick=${() => choose(key)}>${name}</button>`)}</div>`;
}

const SPANS = [["15m", "15 min"], ["1h", "1 h"], ["24h", "24 h"], ["7d", "7 d"], ["30d", "30 d"], ["", "all"]];
const LENGTHS = { "15m": 900, "1h": 3600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000 };

export function Range({ query, choose }) {
  const drawn = query.since_ns || query.until_ns;
  return html`<span class="range">
    <${Segments} label="Time" options=${SPANS} value=${drawn ? null : query.range ?? ""}
      choose=${(range) => choose({ range, since_ns: "", until_ns: "" })} />
    ${drawn && html`<button type="button" title="remove" onClick=${() => choose({ since_ns: "", until_ns: "" })}>
      ${query.since_ns ? moment(Number(query.since_ns)) : "…"} – ${query.until_ns ? moment(Number(query.until_ns)) : "now"} ✕</button>`}</span>`;
}

// Whole minutes, so that the same question is asked for a while and not a new one at each drawing.
export function periodOf(query) {
  if (query.since_ns || query.until_ns) return { since_ns: query.since_ns, until_ns: query.until_ns };
  const seconds = LENGTHS[query.range];
  if (!seconds) return {};
  const minute = Math.ceil(Date.now() / 60_000) * 60;
  return { since_ns: `${minute - seconds}000000000` };
}

// At which prices: part of a question, and of every link that leads on, so that nobody compares two kinds of sums unawares.
export function pricesOf(query) {
  return query.prices === "latest" ? { prices: "latest" } : {};
}

export function Repriced({ query }) {
  const on = query.prices === "latest";
  return html`<button type="button" class="plain" aria-pressed=${String(on)} title="the costs that \`everyspan reprice\` wrote beside the recorded ones, where there are any"
    onClick=${() => change({ prices: on ? "" : "latest" })}>repriced</button>`;
}

export function lengthOf(query) {
  return LENGTHS[query.range] ?? null;
}

export function Copy({ text, what, word = "copy" }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setDone(true);
      setTimeout(() => setDone(false), 1200);
    } catch {
      setDone(false); // no clipboard without https or localhost: the text can still be selected
    }
  };
  return html`<button type="button" class="plain copy" aria-label=${`${word} ${what}`} title=${`${word} ${what}`} onClick=${copy}>${done ? "copied" : word}</button>`;
}

export { Link };

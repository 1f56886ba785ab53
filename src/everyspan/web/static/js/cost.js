// What it cost: by whatever one asks for, over time, beside what is not known, and against the time before.
import { html, useMemo, useState } from "./html.js";
import { Link, change, hrefOf } from "./address.js";
import { useAnswer } from "./ask.js";
import { BudgetBars } from "./budgets.js";
import { Chart, HUES, periodAt, periods } from "./chart.js";
import { count, legible, money, percent, plural, roughly, short } from "./format.js";
import { DOUBTS, Empty, Failure, Money, Range, Repriced, Segments, Tokens, lengthOf, periodOf, pricesOf } from "./parts.js";

const BY = [["model", "model"], ["provider", "provider"], ["user", "user"], ["session", "session"], ["tag", "tag"], ["environment", "environment"], ["service", "service"], ["project", "project"], ["key_id", "key"], ["day", "day"]];
const NAMES = Object.fromEntries(BY);
const MOST = 7;
const NARROWED = ["model", "provider", "user", "session", "tag", "environment", "service", "project", "key_id"];

export function Cost({ query }) {
  const by = query.by ?? "model";
  const called = NAMES[by] ?? by;
  const period = periodOf(query);
  const narrowed = Object.fromEntries(NARROWED.filter((name) => query[name]).map((name) => [name, query[name]]));
  const prices = pricesOf(query);
  const wanted = { ...narrowed, ...period, ...prices };
  const sums = useAnswer("/api/v1/costs", { ...wanted, by });
  const days = useAnswer("/api/v1/costs", { ...wanted, by: "day" });
  // A few days are drawn in hours, where these are kept; `by day` is about days.
  const each = !days.answer ? null : !["user", "session", "tag", "key_id", "day"].includes(by) && days.answer.groups.length < 5 ? "hour" : "day";
  const chart = useAnswer(each ? "/api/v1/costs" : "", { ...wanted, by: by === "day" ? "model" : by, each });
  const earlier = previous(query, period);
  const before = useAnswer(earlier ? "/api/v1/costs" : "", { ...narrowed, ...prices, by, ...earlier });
  // A group of calls that are all unbilled has nothing to say here.
  const groups = (sums.answer?.groups ?? []).filter((group) => group.calls);
  const dearest = Math.max(0, ...groups.map((group) => Number(group.cost ?? 0)));
  const was = new Map((before.answer?.groups ?? []).map((group) => [group.value, group]));
  const compared = Boolean(before.answer && earlier);
  const total = sums.answer?.total;

  return html`<div class="room"><h1 class="hidden">Cost</h1>
    <div class="head"><${Segments} label="Group by" options=${BY} value=${by} choose=${(value) => change({ by: value })} />
      ${Object.entries(narrowed).map(([name, value]) => html`<span class="chip" key=${name}><span class="dim">${NAMES[name]}</span> ${value}
        <button type="button" class="plain" aria-label=${`remove the filter ${NAMES[name]} ${value}`} onClick=${() => change({ [name]: "" })}>✕</button></span>`)}
      <div class="end"><${Repriced} query=${query} /><${Range} query=${query} choose=${change} /><a class="button" href=${hrefOf("/api/v1/costs.csv", { ...wanted, by })} download>CSV</a></div></div>
    <${Failure} failure=${sums.failure} />
    ${sums.answer && !groups.length ? html`<${Empty} title="No calls in this time" commands=${["everyspan run script.py", "everyspan cost --by model   # the same in the terminal"]}>Model calls are added up here as they arrive.<//>` : total && html`
    <${Totals} total=${total} was=${compared ? before.answer.total : null} groups=${groups.length} by=${called} />
    <${BudgetBars} />
    <section class="panel"><h2>${by === "day" ? "By day, and model" : `Over time, by ${called}`} <span class="dim small">by ${each ?? "day"}, in UTC; drag to narrow</span></h2>
      ${chart.answer ? html`<${Stack} answer=${chart.answer} each=${chart.answer.groups[0]?.period.length === 10 ? "day" : "hour"} />` : html`<div class="chart"></div>`}</section>
    <div class="wide" tabindex="0" role="region" aria-label=${`Cost by ${called}`}><table class="list" id="costs"><thead><tr><th scope="col">${called}</th><th scope="col" class="share-cell"><span class="hidden">share</span></th><th scope="col" class="number">Cost</th>
        ${compared && html`<th scope="col" class="number">Before</th>`}<th scope="col" class="number">Share</th><th scope="col" class="number">Calls</th><th scope="col" class="number">Per call</th><th scope="col" class="number">Tokens</th><th scope="col" class="number">Cached</th></tr></thead>
      <tbody>${groups.map((group, index) => html`<tr key=${group.value}>
        <td class="name">${group.value === "" ? html`<span class="dim">(not said)</span>` : by === "day" ? group.value : html`<${Link} ...${linkOf(by, group.value, query)}>${group.value}<//>`}</td>
        <td class="share-cell"><span class="share" style=${{ width: `${dearest ? (100 * Number(group.cost ?? 0)) / dearest : 0}%`, background: by === "day" ? undefined : `var(${HUES[Math.min(index, MOST)]})` }}></span></td>
        <td class="number"><${Money} amount=${group.cost} states=${group.states} calls=${group.calls} exact /></td>
        ${compared && html`<td class="number"><${Change} now=${group.cost} was=${was.get(group.value)?.cost ?? null} /></td>`}
        <td class="number dim">${total.cost && group.cost ? percent(Number(group.cost), Number(total.cost)) : ""}</td>
        <td class="number">${count(group.calls)}</td><td class="number dim">${group.cost && group.calls ? roughly(String(Number(group.cost) / group.calls)) : ""}</td>
        <td class="number"><${Tokens} read=${group.input_tokens} written=${group.output_tokens} /></td>
        <td class="number dim">${group.cache_read_tokens ? percent(group.cache_read_tokens, group.input_tokens) : ""}</td></tr>`)}</tbody>
      <tfoot><tr><td>Total</td><td></td><td class="number" id="total" title=${money(total.cost)}>${legible(total.cost) || "unknown"}</td>${compared && html`<td class="number"><${Change} now=${total.cost} was=${before.answer.total.cost} /></td>`}<td></td><td class="number">${count(total.calls)}</td><td></td>
        <td class="number"><${Tokens} read=${total.input_tokens} written=${total.output_tokens} /></td><td></td></tr></tfoot></table></div>
      ${by === "tag" && html`<p class="dim small">A call with two tags is in two groups: these rows may come to more than was spent.</p>`}`}
  </div>`;
}

// Traces are found by anything but the key their calls came with; the page itself is narrowed by that.
function linkOf(by, value, query) {
  const kept = { range: query.range, ...pricesOf(query) };
  return by === "key_id" ? { to: "/cost", query: { ...kept, key_id: value, by: "model" } } : { to: "/", query: { ...kept, [by]: value } };
}

// The same length of time, just before the one that is shown.
function previous(query, period) {
  if (!period.since_ns || !(period.until_ns || lengthOf(query))) return null;
  const since = BigInt(period.since_ns);
  const length = period.until_ns ? BigInt(period.until_ns) - since : BigInt(lengthOf(query)) * 1_000_000_000n;
  return { since_ns: String(since > length ? since - length : 0n), until_ns: period.since_ns };
}

function Change({ now, was }) {
  if (was === null) return html`<span class="dim">new</span>`;
  const [after, before] = [Number(now ?? 0), Number(was)];
  const share = before ? (100 * (after - before)) / before : 0;
  return html`<span class="nowrap"><span class="dim">${roughly(was)}</span> ${before && share !== 0 ? html`<span class=${share > 10 ? "warn" : "dim"}>${share > 0 ? "+" : "−"}${Math.abs(share) < 10 ? Math.abs(share).toFixed(1) : Math.round(Math.abs(share))} %</span>` : ""}</span>`;
}

function Totals({ total, was, groups, by }) {
  const unsure = ["unpriced", "partial", "estimated"].filter((state) => total.states[state]);
  return html`<dl class="cards">
    <div class="card"><dt>Spent</dt><dd title=${money(total.cost)}>${total.cost === null ? "unknown" : legible(total.cost)}<small>${was ? html`before: ${legible(was.cost) || "nothing"}` : total.states.unpriced ? `known of ${count(total.calls - total.states.unpriced)} of ${count(total.calls)} calls` : "each call once, to the last digit"}</small></dd></div>
    <div class="card"><dt>Calls</dt><dd>${count(total.calls)}<small>${total.unbilled ? `${count(total.unbilled)} more are kept and not billed` : plural(groups, by)}</small></dd></div>
    <div class="card"><dt>Tokens</dt><dd title=${`${count(total.input_tokens)} in, ${count(total.output_tokens)} out`}>${short(total.input_tokens)} → ${short(total.output_tokens)}<small>${total.cache_read_tokens ? `${percent(total.cache_read_tokens, total.input_tokens)} of the input from a cache` : "in → out"}</small></dd></div>
    <div class="card"><dt>Not exact</dt><dd class=${unsure.length ? "warn" : "good"} id="doubts">${unsure.length ? count(unsure.reduce((sum, state) => sum + total.states[state], 0)) : "none"}
      <small>${unsure.length ? unsure.map((state, index) => html`<span key=${state} title=${DOUBTS[state]}>${index ? ", " : ""}${count(total.states[state])} ${state}</span>`) : "every call has its price"}</small></dd></div>
  </dl>`;
}

function Stack({ answer, each }) {
  const { times, series } = useMemo(() => stackOf(answer.groups, each), [answer, each]);
  const zoom = (from, to) => change({ since_ns: `${from}000000000`, until_ns: `${to}000000000`, range: "" });
  if (!times.length) return html`<p class="dim">Nothing with a price in this time.</p>`;
  return html`<${Chart} label=${`cost over time in ${series.length} parts; the table below holds the sums`} times=${times} series=${series} stacked
    say=${(value) => roughly(String(value))} zoom=${zoom} each=${each} />`;
}

function stackOf(groups, each) {
  const times = periods(groups.map((group) => group.period), each);
  const sums = new Map();
  for (const group of groups) sums.set(group.value, (sums.get(group.value) ?? 0) + Number(group.cost ?? 0));
  const ranked = [...sums].sort((a, b) => b[1] - a[1]).filter(([, sum]) => sum > 0).map(([value]) => value);
  const named = new Set(ranked.slice(0, MOST));
  const cells = new Map();
  for (const group of groups) {
    const name = named.has(group.value) ? group.value : ranked.includes(group.value) ? "\u0000rest" : null;
    if (name !== null) cells.set(`${name}\u0001${group.period}`, (cells.get(`${name}\u0001${group.period}`) ?? 0) + Number(group.cost ?? 0));
  }
  const names = [...ranked.slice(0, MOST), ...(ranked.length > MOST ? ["\u0000rest"] : [])];
  const series = names.map((name, index) => ({
    name: name === "\u0000rest" ? `${ranked.length - MOST} others` : name || "(not said)",
    hue: HUES[Math.min(index, HUES.length - 1)],
    values: times.map((time) => cells.get(`${name}\u0001${periodAt(time, each)}`) ?? 0),
  }));
  return { times, series };
}

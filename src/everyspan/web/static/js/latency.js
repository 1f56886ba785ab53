// How long calls take, how soon their first token comes, and how many fail.
import { html, useMemo } from "./html.js";
import { Link, change } from "./address.js";
import { useAnswer } from "./ask.js";
import { Chart, HUES, periodAt, periods } from "./chart.js";
import { count, duration, percent } from "./format.js";
import { Empty, Failure, Range, Segments, periodOf } from "./parts.js";

const BY = [["model", "model"], ["provider", "provider"], ["service", "service"], ["environment", "environment"], ["project", "project"]];
const SHOWN = [["p50_ns", "p50"], ["p95_ns", "p95"], ["p99_ns", "p99"]];
const FEW_DAYS = 4;
const WHAT = [["duration", "whole call"], ["first_token", "first token"]];

export function Latency({ query }) {
  const by = query.by ?? "model";
  const what = query.what ?? "duration";
  const percentile = query.p ?? "p95_ns";
  const period = periodOf(query);
  const { answer, failure } = useAnswer("/api/v1/latency", { by, ...period });
  // Hours where there are few days of them: those of a year would be thousands of points, and seconds to add up.
  const days = useAnswer("/api/v1/latency", { by, ...period, each: "day" });
  const few = days.answer && new Set(days.answer.groups.map((group) => group.period)).size <= FEW_DAYS;
  const hours = useAnswer(few ? "/api/v1/latency" : "", { by, ...period, each: "hour" });
  const each = few ? "hour" : "day";
  const over = few ? hours : days;
  const groups = answer?.groups ?? [];
  const slowest = Math.max(1, ...groups.map((group) => group[what].p95_ns ?? 0));
  return html`<div class="room"><h1 class="hidden">Latency and errors</h1>
    <div class="head"><${Segments} label="Group by" options=${BY} value=${by} choose=${(value) => change({ by: value })} />
      <${Segments} label="What to measure" options=${WHAT} value=${what} choose=${(value) => change({ what: value })} />
      <${Segments} label="Percentile in the chart" options=${SHOWN} value=${percentile} choose=${(value) => change({ p: value })} />
      <div class="end"><${Range} query=${query} choose=${change} /></div></div>
    <${Failure} failure=${failure} />
    ${answer && !groups.length ? html`<${Empty} title="No calls in this time" commands=${["everyspan run script.py"]}>Durations and failures of model calls appear here.<//>` : answer && html`
    <div class="two">
      <section class="panel"><h2>${percentile.slice(0, 3)} of the ${what === "duration" ? "whole call" : "time to the first token"}</h2>
        ${over.answer && html`<${Lines} groups=${over.answer.groups} each=${each} of=${(group) => group[what][percentile]} say=${(value) => duration(value)} label="latency over time" />`}</section>
      <section class="panel"><h2>Calls that failed</h2>
        ${over.answer && html`<${Lines} groups=${over.answer.groups} each=${each} of=${(group) => (group.calls ? (100 * group.errors) / group.calls : null)} say=${(value) => `${Number(value.toPrecision(3))} %`} label="failures over time" />`}</section></div>
    <div class="wide" tabindex="0" role="region" aria-label=${`Latency by ${by}`}><table class="list" id="latency"><thead><tr><th scope="col">${by}</th><th scope="col" class="share-cell"><span class="hidden">p50 and p95</span></th><th scope="col" class="number">p50</th><th scope="col" class="number">p95</th><th scope="col" class="number">p99</th>
        <th scope="col" class="number">First token p50</th><th scope="col" class="number">p95</th><th scope="col" class="number">Calls</th><th scope="col" class="number">Failed</th></tr></thead>
      <tbody>${groups.map((group) => html`<tr key=${group.value}><td class="name">${group.value === "" ? html`<span class="dim">(not said)</span>` : html`<${Link} to="/" query=${{ [by]: group.value, range: query.range }}>${group.value}<//>`}</td>
        <td class="share-cell"><span class="quantiles"><span style=${{ width: `${(100 * (group[what].p95_ns ?? 0)) / slowest}%` }}></span><span style=${{ width: `${(100 * (group[what].p50_ns ?? 0)) / slowest}%` }}></span></span></td>
        ${["p50_ns", "p95_ns", "p99_ns"].map((name) => html`<td class="number" key=${name}>${said(group.duration[name])}</td>`)}
        <td class="number dim">${said(group.first_token.p50_ns)}</td><td class="number dim">${said(group.first_token.p95_ns)}</td><td class="number">${count(group.calls)}</td>
        <td class="number">${group.errors ? html`<${Link} to="/" query=${{ [by]: group.value, errors: "yes", range: query.range }} class="bad">${count(group.errors)} · ${percent(group.errors, group.calls)}<//>` : "0"}</td></tr>`)}</tbody></table></div>
      <p class="dim small apart">Percentiles are exact to 1.6 %. Interrupted calls count as calls; how long they took is not known.</p>`}</div>`;
}

function said(ns) {
  return ns === null || ns === undefined ? "" : duration(ns);
}

function Lines({ groups, each, of, say, label }) {
  const { times, series } = useMemo(() => {
    const found = periods(groups.map((group) => group.period), each);
    const weight = new Map();
    for (const group of groups) weight.set(group.value, (weight.get(group.value) ?? 0) + group.calls);
    const names = [...weight].sort((a, b) => b[1] - a[1]).slice(0, HUES.length).map(([name]) => name);
    const cells = new Map(groups.map((group) => [`${group.value}\u0001${group.period}`, of(group)]));
    const lines = names.map((name, index) => ({ name: name || "(not said)", hue: HUES[index], values: found.map((time) => cells.get(`${name}\u0001${periodAt(time, each)}`) ?? null) }));
    return { times: found, series: lines.filter((line) => line.values.some((value) => value !== null)) };
  }, [groups, each, label, String(of)]);
  const zoom = (from, to) => change({ since_ns: `${from}000000000`, until_ns: `${to}000000000`, range: "" });
  if (!times.length || !series.length) return html`<p class="dim">Nothing was measured in this time.</p>`;
  return html`<${Chart} label=${label} times=${times} series=${series} say=${say} zoom=${zoom} each=${each} />`;
}

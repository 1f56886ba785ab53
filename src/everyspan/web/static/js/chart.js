// uPlot, dressed: stacked bars or lines over time, a tip under the pointer, and a drag that narrows the time.
import uPlot from "../vendor/uplot.js";
import { html, useEffect, useRef, useState } from "./html.js";

export const HUES = ["--generation", "--agent", "--tool", "--embedding", "--retriever", "--chain", "--guardrail", "--span"];

function colour(name, alpha = 1) {
  const value = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return alpha === 1 ? value : `${value}${Math.round(alpha * 255).toString(16).padStart(2, "0")}`;
}

// series: [{name, hue, values}], each as long as `times` (seconds). `stacked` draws bars on top of one another.
export function Chart({ label, times, series, stacked = false, say, zoom, each }) {
  const box = useRef(null);
  const [tip, setTip] = useState(null);
  const [theme, setTheme] = useState(0);

  useEffect(() => {
    const changed = () => setTheme((round) => round + 1);
    const system = matchMedia("(prefers-color-scheme: dark)");
    addEventListener("everyspan:theme", changed);
    system.addEventListener("change", changed);
    return () => { removeEventListener("everyspan:theme", changed); system.removeEventListener("change", changed); };
  }, []);

  useEffect(() => {
    if (!times.length) return undefined;
    const element = box.current;
    const plot = new uPlot(optionsOf({ element, times, series, stacked, say, zoom, each, setTip }), dataOf(times, series, stacked), element);
    plot.root.setAttribute("aria-hidden", "true");
    const sized = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: 220 }));
    sized.observe(element);
    return () => { sized.disconnect(); plot.destroy(); };
  }, [JSON.stringify([times, series]), theme]);

  return html`<figure class="figure"><div class="chart" ref=${box} role="img" aria-label=${label} onMouseLeave=${() => setTip(null)}>
    ${tip && html`<div class="tip" style=${{ left: `${tip.left}px`, top: "8px" }}><b>${tip.title}</b><table><tbody>
      ${tip.rows.map((row) => html`<tr key=${row.name}><td><i style=${{ background: `var(${row.hue})` }}></i>${row.name}</td><td>${row.text}</td></tr>`)}</tbody></table></div>`}</div>
    <figcaption class="legend">${series.map((one) => html`<span key=${one.name}><i style=${{ background: `var(${one.hue})` }}></i>${one.name}</span>`)}</figcaption></figure>`;
}

function dataOf(times, series, stacked) {
  if (!stacked) return [times, ...series.map((one) => one.values)];
  const sums = times.map(() => 0);
  const layers = series.map((one) => one.values.map((value, index) => { sums[index] += value ?? 0; return sums[index]; }));
  return [times, ...layers.reverse()]; // the tallest is drawn first, so that the others stand in front of it
}

function optionsOf({ element, times, series, stacked, say, zoom, each, setTip }) {
  const drawn = stacked ? [...series].reverse() : series;
  const wide = each === "day" ? 86_400 : 3600;
  const axis = { stroke: colour("--dim"), font: "11px system-ui", grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
  return {
    width: Math.max(200, element.clientWidth),
    height: 220,
    legend: { show: false },
    cursor: { drag: { x: Boolean(zoom), y: false, setScale: false }, points: { show: !stacked }, y: false },
    scales: {
      // Not what uPlot proposes: for a single time that is a thousand days.
      x: { time: true, range: () => axisOf(times, wide, stacked) },
      y: { range: (_, low, high) => [0, high > 0 ? high * 1.08 : 1] },
    },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    axes: [{ ...axis, grid: { show: false }, space: 76, values: (_, marks) => marks.map((mark, index) => axisTime(mark, marks[index - 1])) }, { ...axis, size: 62, values: (_, ticks) => ticks.map((tick) => say(tick)) }],
    series: [{}, ...drawn.map((one) => (stacked
      ? { label: one.name, fill: colour(one.hue), stroke: colour(one.hue), width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.72, 46], gap: 0 }) }
      : { label: one.name, stroke: colour(one.hue), width: 1.8, spanGaps: true, points: { show: times.length < 40, size: 5, fill: colour("--raised") } }))],
    hooks: {
      setCursor: [(plot) => {
        const { idx, left } = plot.cursor;
        if (idx === null || idx === undefined || left < 0) return setTip(null);
        const rows = series.map((one) => ({ name: one.name, hue: one.hue, value: one.values[idx] })).filter((row) => row.value);
        const near = plot.valToPos(times[idx], "x") + plot.bbox.left / devicePixelRatio;
        setTip({ title: when(times[idx], each), left: near > element.clientWidth - 230 ? near - 210 : near + 14, rows: rows.map((row) => ({ ...row, text: say(row.value) })) });
      }],
      setSelect: [(plot) => {
        const { left, width } = plot.select;
        if (!zoom || width < 6) return;
        zoom(Math.floor(plot.posToVal(left, "x")), Math.ceil(plot.posToVal(left + width, "x")));
      }],
    },
  };
}

// Room for the first and the last bar; a few bars do not fill the chart.
function axisOf(times, wide, stacked) {
  const [from, to] = [times[0], times.at(-1)];
  const missing = Math.max(0, (stacked ? 11 : 1) * wide - (to - from)) / 2;
  return stacked || missing ? [from - missing - wide * 0.55, to + missing + wide * 0.55] : [from, to];
}

// The hour, and the date wherever a new day begins; all in UTC, like the sums.
function axisTime(seconds, before) {
  const text = new Date(seconds * 1000).toISOString();
  const date = text.slice(5, 10);
  const midnight = text.slice(11, 16) === "00:00";
  const fresh = before === undefined || new Date(before * 1000).toISOString().slice(5, 10) !== date;
  return midnight ? date : fresh ? `${text.slice(11, 16)}\n${date}` : text.slice(11, 16);
}

function when(seconds, each) {
  const text = new Date(seconds * 1000).toISOString();
  return each === "day" ? text.slice(0, 10) : `${text.slice(0, 10)} ${text.slice(11, 16)} UTC`;
}

// Every hour or day from the first to the last that has something, those without anything too.
export function periods(names, each) {
  const step = each === "day" ? 86_400 : 3600;
  const at = [...new Set(names)].filter(Boolean).map((name) => Date.parse(name.length === 10 ? `${name}T00:00Z` : name) / 1000).sort((a, b) => a - b);
  if (!at.length) return [];
  const found = [];
  for (let time = at[0]; time <= at.at(-1) && found.length < 2000; time += step) found.push(time);
  return found;
}

export function periodAt(seconds, each) {
  const text = new Date(seconds * 1000).toISOString();
  return each === "day" ? text.slice(0, 10) : `${text.slice(0, 13)}:00Z`;
}

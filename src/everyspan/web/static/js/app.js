// The frame around every page: where to go, whether all is here, whether the server still talks, and which keys do what.
import { html, render, useEffect, useRef, useState } from "./html.js";
import { Link, go, useAddress } from "./address.js";
import { goLive, link, listen, useAnswer } from "./ask.js";
import { count } from "./format.js";
import { Help, useKeys } from "./keys.js";
import { Budgets } from "./budgets.js";
import { Completeness } from "./completeness.js";
import { Sessions, Users } from "./people.js";
import { Trace } from "./trace.js";
import { Traces } from "./traces.js";

// Pages with charts come when they are asked for: a list or a trace need not wait for what draws them.
const Cost = later(() => import("./cost.js").then((module) => module.Cost));
const Latency = later(() => import("./latency.js").then((module) => module.Latency));
const Reference = later(() => import("./reference.js").then((module) => module.Reference));

function later(load) {
  let View = null;
  return function Later(properties) {
    const [, arrived] = useState(View);
    useEffect(() => { if (!View) load().then((found) => { View = found; arrived(() => found); }); }, []);
    return View ? html`<${View} ...${properties} />` : html`<div class="room" aria-busy="true"></div>`;
  };
}

const PAGES = [
  { path: "/", name: "Traces", view: Traces },
  { path: "/cost", name: "Cost", view: Cost },
  { path: "/latency", name: "Latency", view: Latency },
  { path: "/sessions", name: "Sessions", view: Sessions },
  { path: "/users", name: "Users", view: Users },
  { path: "/completeness", name: "Completeness", view: Completeness },
];

const TONES = { complete: "good", open: "warn", pending: "warn", unproven: "", dropped: "bad", missing: "bad" };

// Green only for the verdict `complete`; everything else says its own word.
function Verdict() {
  const { answer } = useAnswer("/api/v1/completeness", { brief: "yes" });
  if (!answer) return null;
  const earned = answer.verdict === "complete" && !answer.quarantined;
  const words = answer.verdict === "complete" ? "set aside" : answer.verdict;
  return html`<${Link} to="/completeness" id="verdict" class=${`state ${earned ? "good" : TONES[answer.verdict] || "warn"}`}
    title=${answer.sentence}>${earned ? html`complete<span class="wide">: ${count(answer.spans)} of ${count(answer.spans)}</span>` : words}<//>`;
}

function Live() {
  const [state, setState] = useState(link.state);
  useEffect(() => listen((what) => what === "link" && setState(link.state)), []);
  const words = { live: "live", lost: "no answer", waiting: "…" };
  return html`<span class=${`state wide ${state === "live" ? "good" : state === "lost" ? "bad" : ""}`} id="link" role="status"
    title=${state === "live" ? "new spans appear by themselves" : "the server does not answer"}>${words[state]}</span>`;
}

function Trouble() {
  const [lost, setLost] = useState(false);
  useEffect(() => listen((what) => what === "link" && setLost(link.state === "lost")), []);
  if (!lost) return null;
  return html`<p class="alert" role="alert">The server does not answer. What is shown is the last that was heard; this page goes on asking.</p>`;
}

function nextTheme() {
  const order = ["", "light", "dark"];
  const now = document.documentElement.dataset.theme ?? "";
  const next = order[(order.indexOf(now) + 1) % order.length];
  document.documentElement.dataset.theme = next;
  try {
    if (next) localStorage.setItem("everyspan.theme", next);
    else localStorage.removeItem("everyspan.theme");
  } catch {
    return next; // storage is switched off: the choice lasts as long as the page
  }
  return next;
}

function Theme() {
  const [theme, setTheme] = useState(document.documentElement.dataset.theme ?? "");
  const name = { "": "as the system", light: "light", dark: "dark" }[theme];
  return html`<button type="button" class="plain" title=${`colours: ${name}`} aria-label=${`colours: ${name}; change`}
    onClick=${() => { setTheme(nextTheme()); dispatchEvent(new Event("everyspan:theme")); }}>
    <svg width="15" height="15" viewBox="0 0 16 16" aria-hidden="true"><circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" stroke-width="1.5"/><path d="M8 2a6 6 0 0 1 0 12z" fill="currentColor"/></svg>
  </button>`;
}

function App() {
  const { path, query } = useAddress();
  const [help, setHelp] = useState(false);
  const main = useRef(null);
  const trace = path.match(/^\/traces\/([^/]+)$/)?.[1];
  const page = PAGES.find((each) => each.path === path || (each.path === "/" && path === "/traces"));
  const name = trace ? "Trace" : page?.name ?? (path === "/api" ? "API" : "Not here");
  useKeys({
    "?": () => setHelp(true),
    ...Object.fromEntries(PAGES.map((each, index) => [String(index + 1), () => go(each.path)])),
  });
  useEffect(() => { document.title = `${name} · everyspan`; }, [name]);
  const View = path === "/api" ? Reference : page?.view;
  return html`
    <a class="button skip" href="#main" onClick=${(event) => { event.preventDefault(); main.current?.focus(); }}>Skip to the content</a>
    <header class="bar">
      <${Link} to="/" class="brand" aria-label="everyspan, all traces">
        <svg viewBox="0 0 16 16" aria-hidden="true"><rect width="16" height="16" rx="3.5" fill="#3b4fd8"/><path d="M3 4.5h7M5.5 8h7M3 11.5h5" stroke="#fff" stroke-width="1.8" stroke-linecap="round"/></svg>
        <span>everyspan</span><//>
      <nav aria-label="Pages">${PAGES.map((each) => html`<${Link} key=${each.path} to=${each.path}
        aria-current=${each === page ? "page" : undefined}>${each.name}<//>`)}</nav>
      <div class="end"><${Live} /><${Verdict} /><${Theme} />
        <button type="button" class="plain wide" aria-label="Keyboard" title="keyboard (?)" onClick=${() => setHelp(true)}>?</button></div>
    </header>
    <${Trouble} />${path !== "/cost" && html`<${Budgets} />`}
    <main id="main" ref=${main} tabindex="-1">
      ${trace ? html`<${Trace} key=${trace} id=${decodeURIComponent(trace)} query=${query} />`
        : View ? html`<${View} query=${query} />`
        : html`<div class="empty"><h2>There is no page ${path}</h2><p><${Link} to="/">All traces<//></p></div>`}
    </main>
    ${help && html`<${Help} pages=${PAGES} close=${() => setHelp(false)} />`}`;
}

goLive();
render(html`<${App} />`, document.getElementById("app"));

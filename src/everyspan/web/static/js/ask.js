// Questions to the JSON API, and word from the server that there is something new to ask.
import { useEffect, useRef, useState } from "./html.js";

export async function ask(path, parameters = {}, signal = undefined) {
  const query = queryOf(parameters);
  const answer = await fetch(query ? `${path}?${query}` : path, { headers: { accept: "application/json" }, signal });
  let said;
  try {
    said = await answer.json();
  } catch {
    throw new Error(`the server answered with status ${answer.status} and no JSON`);
  }
  if (!answer.ok) throw Object.assign(new Error(said.error ?? answer.statusText), { status: answer.status });
  return said;
}

// The one thing that the page changes on the server: a saved view.
export async function put(path, content) {
  const answer = await fetch(path, { method: "PUT", headers: { "content-type": "application/json" }, body: JSON.stringify(content) });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(said.error ?? answer.statusText), { status: answer.status });
  return said;
}

export function queryOf(parameters) {
  const entries = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return new URLSearchParams(entries).toString();
}

// ---- what is new ----

const listeners = new Set();
let stream = null;
let polling = 0;
const CALM_MS = 1500;
export const link = { state: "waiting" };

function tell(what) {
  for (const listener of listeners) listener(what);
}

function setLink(state) {
  if (link.state === state) return;
  link.state = state;
  tell("link");
}

// A hidden tab hangs up: browsers allow six connections to a host, and six open tabs would take them all.
function follow() {
  clearInterval(polling);
  if (document.hidden) {
    stream?.close();
    stream = null;
    return;
  }
  if (stream) return;
  stream = new EventSource("/api/v1/live");
  stream.addEventListener("open", opened);
  stream.addEventListener("stored", () => tell("stored"));
  stream.addEventListener("error", () => {
    setLink("lost");
    // A refused stream is not tried again by the browser.
    if (stream?.readyState === EventSource.CLOSED) {
      stream = null;
      polling = setInterval(follow, 2000);
    }
  });
}

// Something may have been stored before the stream was there to say so. At the first opening every question was asked
// just now, so asking again may wait until the page is drawn; after a break it may not.
function opened() {
  const first = link.state === "waiting";
  setLink("live");
  if (first) setTimeout(() => tell("stored"), CALM_MS);
  else tell("stored");
}

export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function goLive() {
  document.addEventListener("visibilitychange", follow);
  follow();
}

// The answer to a question, asked again when the question changes and, if `live`, when something was stored.
// While a new answer is on its way the last one stays, so that nothing jumps.
export function useAnswer(path, parameters = {}, { live = true } = {}) {
  const question = path ? `${path}?${queryOf(parameters)}` : "";
  const [state, setState] = useState({ question: "", answer: null, failure: null });
  const asked = useRef(null);

  useEffect(() => {
    if (!question) return undefined;
    let over = false;
    let waiting = 0;
    let again = false;
    let notBefore = 0;
    async function run() {
      const early = notBefore - performance.now();
      if (asked.current || early > 0) {
        again = true;
        if (!asked.current && !waiting) waiting = setTimeout(() => { waiting = 0; again = false; run(); }, early);
        return;
      }
      const control = new AbortController();
      const began = performance.now();
      asked.current = control;
      try {
        const answer = await ask(path, parameters, control.signal);
        if (!over) setState({ question, answer, failure: null });
      } catch (failure) {
        if (!over && failure.name !== "AbortError") setState((before) => ({ ...before, question, failure }));
      } finally {
        if (asked.current === control) asked.current = null;
        // At most four rounds a second, however fast spans arrive, and a tenth of the time for answers that take long.
        const now = performance.now();
        notBefore = now + Math.min(30_000, Math.max(250, 9 * (now - began)));
        if (again && !over) { again = false; run(); }
      }
    }
    run();
    const stop = live ? listen((what) => (what === "stored" || what === "again") && run()) : () => {};
    return () => {
      over = true;
      clearTimeout(waiting);
      asked.current?.abort();
      asked.current = null;
      stop();
    };
  }, [question, live]);

  const fresh = state.question === question;
  return { answer: state.answer, failure: fresh ? state.failure : null, waiting: !fresh };
}

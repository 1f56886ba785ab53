// Keys that work anywhere but in a text field, and the sheet that lists them.
import { html, useEffect, useRef } from "./html.js";

export function isTyping(target) {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName));
}

export function useKeys(keys) {
  const current = useRef(keys);
  current.current = keys;
  useEffect(() => {
    const pressed = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (isTyping(event.target) || document.querySelector("dialog[open], [role=dialog]")) return;
      const act = current.current[event.key];
      if (!act) return;
      event.preventDefault();
      act(event);
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);
}

const LISTS = [["/", "search"], ["j k", "next, previous"], ["Enter", "open"], ["Esc", "back, close"]];
const TRACE = [
  ["↑ ↓ j k", "walk through the spans"], ["← →", "fold, unfold"], ["e", "next error"], ["c", "next dearest call"],
  ["Home End", "first, last span"], ["Esc", "close the span, then the trace"],
];

export function Help({ pages, close }) {
  const sheet = useRef(null);
  useEffect(() => {
    const before = document.activeElement;
    sheet.current.focus();
    return () => before?.focus?.();
  }, []);
  const key = ([keys, what]) => html`<dt>${keys.split(" ").map((one) => html`<kbd>${one}</kbd> `)}</dt><dd>${what}</dd>`;
  const pressed = (event) => {
    if (event.key === "Escape") { event.stopPropagation(); close(); }
  };
  return html`<div class="scrim" onClick=${(event) => event.target === event.currentTarget && close()}>
    <div class="sheet" role="dialog" aria-modal="true" aria-labelledby="help-title" tabindex="-1" ref=${sheet} onKeyDown=${pressed}>
      <h2 id="help-title">Keyboard</h2>
      <dl>${pages.map((page, index) => key([String(index + 1), page.name]))}${LISTS.map(key)}</dl>
      <h3 class="apart">In a trace</h3>
      <dl>${TRACE.map(key)}</dl>
      <p class="apart"><a href="/api">The API</a>: all of this as JSON</p>
    </div></div>`;
}

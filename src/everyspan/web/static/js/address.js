// The address is the state: what can be seen can be sent to somebody.
import { html, useEffect, useState } from "./html.js";
import { queryOf } from "./ask.js";

const watchers = new Set();

export function here() {
  return { path: location.pathname, query: Object.fromEntries(new URLSearchParams(location.search)) };
}

export function useAddress() {
  const [address, setAddress] = useState(here);
  useEffect(() => {
    const changed = () => setAddress(here());
    watchers.add(changed);
    addEventListener("popstate", changed);
    return () => { watchers.delete(changed); removeEventListener("popstate", changed); };
  }, []);
  return address;
}

export function hrefOf(path, query = {}) {
  const text = queryOf(query);
  return text ? `${path}?${text}` : path;
}

// `replace` for what nobody wants to step back through, such as moving from span to span.
export function go(path, query = {}, { replace = false } = {}) {
  const href = hrefOf(path, query);
  if (href !== location.pathname + location.search) history[replace ? "replaceState" : "pushState"](null, "", href);
  for (const watcher of watchers) watcher();
}

export function change(changes, options) {
  const { path, query } = here();
  go(path, { ...query, ...changes }, options);
}

export function Link({ to, query, children, ...rest }) {
  const follow = (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
    event.preventDefault();
    go(to, query);
  };
  return html`<a href=${hrefOf(to, query)} onClick=${follow} ...${rest}>${children}</a>`;
}

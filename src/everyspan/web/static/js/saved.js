// Views by name. They live in this browser; an address does the same between people.
import { html, useState } from "./html.js";
import { go, here } from "./address.js";
import { queryOf } from "./ask.js";

const KEY = "everyspan.saved";

function stored() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(found) ? found.filter((each) => typeof each?.name === "string" && typeof each?.query === "object") : [];
  } catch {
    return []; // storage is switched off, or holds something else
  }
}

export function Saved({ query }) {
  const [views, setViews] = useState(stored);
  const [naming, setNaming] = useState(false);
  const [name, setName] = useState("");
  const now = queryOf(query);
  const current = views.find((view) => queryOf(view.query) === now);
  const keep = (list) => {
    setViews(list);
    localStorage.setItem(KEY, JSON.stringify(list));
  };
  const save = (event) => {
    event.preventDefault();
    if (name.trim()) keep([...views.filter((view) => view.name !== name.trim()), { name: name.trim(), query: here().query }]);
    setNaming(false);
    setName("");
  };
  return html`<span class="saved">
    ${views.length > 0 && html`<select aria-label="Saved views" value=${current?.name ?? ""}
      onChange=${(event) => { const view = views.find((each) => each.name === event.target.value); if (view) go("/", view.query); }}>
      <option value="" disabled>Saved views</option>${views.map((view) => html`<option key=${view.name} value=${view.name}>${view.name}</option>`)}</select>`}
    ${current ? html`<button type="button" class="plain" onClick=${() => keep(views.filter((view) => view !== current))}>forget</button>`
      : naming ? html`<form onSubmit=${save}><label class="hidden" for="view-name">Name of this view</label>
          <input id="view-name" placeholder="name of this view" value=${name} onInput=${(event) => setName(event.target.value)}
            ref=${(input) => input && document.activeElement !== input && input.focus()} onKeyDown=${(event) => event.key === "Escape" && setNaming(false)} /></form>`
      : now && html`<button type="button" class="plain" onClick=${() => setNaming(true)}>save view</button>`}</span>`;
}

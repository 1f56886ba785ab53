// Views by name. The server keeps them for everybody who may read the project; an address does the same once.
import { html, useState } from "./html.js";
import { go } from "./address.js";
import { put, queryOf, useAnswer } from "./ask.js";
import { Copy, Failure } from "./parts.js";

const HERE = ["range", "since_ns", "until_ns", "prices"];

// The same filters in the same order, however they were typed.
function sorted(query) {
  return queryOf(Object.fromEntries(Object.entries(query).sort(([one], [other]) => (one < other ? -1 : 1))));
}

export function Saved({ query, fields }) {
  const said = useAnswer("/api/v1/views", {}, { live: false }).answer?.views ?? [];
  const [kept, setKept] = useState(null);
  const [naming, setNaming] = useState(false);
  const [failure, setFailure] = useState(null);
  const views = kept ?? said;
  const known = new Set([...HERE, ...fields]);
  const now = sorted(Object.fromEntries(Object.entries(query).filter(([name]) => known.has(name))));
  const current = views.find((view) => view.query === now);
  const save = async (name, value) => {
    try {
      setKept((await put(`/api/v1/views/${encodeURIComponent(name)}`, { query: value })).views);
      setFailure(null);
    } catch (problem) {
      setFailure(problem);
    }
    setNaming(false);
  };
  const submit = (event) => {
    event.preventDefault();
    const name = new FormData(event.currentTarget).get("name").trim();
    if (name) save(name, now);
  };
  return html`<span class="saved">
    ${views.length > 0 && html`<select aria-label="Saved views" value=${current?.name ?? ""}
      onChange=${(event) => { const view = views.find((each) => each.name === event.target.value); if (view) go("/", Object.fromEntries(new URLSearchParams(view.query))); }}>
      <option value="" disabled>Saved views</option>${views.map((view) => html`<option key=${view.name} value=${view.name}>${view.name}</option>`)}</select>`}
    ${current ? html`<button type="button" class="plain" title="no longer keep this view, for anybody" onClick=${() => save(current.name, "")}>forget</button>`
      : naming ? html`<form onSubmit=${submit}><label class="hidden" for="view-name">Name of this view</label>
          <input id="view-name" name="name" maxlength="80" placeholder="name of this view" autocomplete="off"
            ref=${(input) => input && document.activeElement !== input && input.focus()} onKeyDown=${(event) => event.key === "Escape" && setNaming(false)} /></form>`
      : now && html`<button type="button" class="plain" title="keep these filters under a name, for everybody" onClick=${() => setNaming(true)}>save view</button>`}
    ${now && html`<${Copy} text=${`${location.origin}/?${now}`} what="to this view" word="copy link" />`}
    <${Failure} failure=${failure} /></span>`;
}

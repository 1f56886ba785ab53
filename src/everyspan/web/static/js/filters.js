// One box: words search the texts, `field:value` narrows, and every filter is a chip that can be taken away.
import { html, useEffect, useRef, useState } from "./html.js";
import { change } from "./address.js";
import { ask } from "./ask.js";

// Spans of time as people type them; what cannot be read goes to the server, which says so.
function nanoseconds(text) {
  const [, number, unit] = text.match(/^([\d.]+)\s*(ms|s|min|m|h)?$/) ?? [];
  return number ? Math.round(Number(number) * { ms: 1e6, s: 1e9, min: 60e9, m: 60e9, h: 3600e9 }[unit ?? "s"]) : text;
}

export const FIELDS = [
  { name: "text", hint: "words in inputs and outputs" },
  { name: "name", hint: "the trace's name" },
  { name: "model", hint: "a model that was called", values: "model" },
  { name: "provider", hint: "openai, anthropic, …", values: "provider" },
  { name: "user", hint: "a user's id", values: "user" },
  { name: "session", hint: "a session's id" },
  { name: "tag", hint: "one of the tags", values: "tag" },
  { name: "environment", hint: "production, staging, …", values: "environment" },
  { name: "service", hint: "the service's name", values: "service" },
  { name: "errors", hint: "yes: with an error", fixed: ["yes"] },
  { name: "min_cost", hint: "dollars, at least" },
  { name: "max_cost", hint: "dollars, at most" },
  { name: "min_duration", hint: "as 500ms, 2s, 1min", asked: "min_duration_ns", ask: nanoseconds },
  { name: "max_duration", hint: "at most, as 500ms", asked: "max_duration_ns", ask: nanoseconds },
  { name: "project", hint: "a project", values: "project" },
];
const NAMES = new Map(FIELDS.map((field) => [field.name, field]));
const ALIASES = { status: "errors", env: "environment", cost: "min_cost", duration: "min_duration", slower: "min_duration", faster: "max_duration" };

export function wantedOf(query) {
  const set = FIELDS.filter((field) => query[field.name]);
  return Object.fromEntries(set.map((field) => [field.asked ?? field.name, field.ask ? field.ask(query[field.name]) : query[field.name]]));
}

function read(text) {
  const found = {};
  const rest = text.replace(/(\w+)[:=]("[^"]*"|\S+)/g, (whole, name, value) => {
    const field = ALIASES[name] ?? name;
    if (!NAMES.has(field)) return whole;
    found[field] = field === "errors" ? "yes" : value.replace(/^"|"$/g, "");
    return "";
  }).trim();
  if (rest) found.text = rest;
  return found;
}

export function Filters({ query }) {
  const box = useRef(null);
  const [words, setWords] = useState("");
  const [values, setValues] = useState([]);
  const field = NAMES.get(words.match(/^(\w+)[:=]/)?.[1] ?? "");

  useEffect(() => {
    if (!field) return setValues([]);
    if (field.fixed) return setValues(field.fixed);
    if (!field.values) return setValues([]);
    let over = false;
    ask("/api/v1/groups", { by: field.values, order: "most", limit: 40 })
      .then((answer) => !over && setValues([...new Set(answer.groups.map((group) => group.value).filter(Boolean))]))
      .catch(() => setValues([]));
    return () => { over = true; };
  }, [field?.name]);

  const submit = (event) => {
    event.preventDefault();
    const found = read(words);
    if (Object.keys(found).length) change({ ...found });
    setWords("");
  };
  const typed = (event) => {
    setWords(event.target.value);
    // A whole suggestion that was chosen needs no Enter.
    if (event.inputType === "insertReplacementText" || event.inputType === undefined) {
      const found = read(event.target.value);
      if (Object.keys(found).some((name) => name !== "text")) { change(found); setWords(""); }
    }
  };
  const quoted = (value) => (/\s/.test(value) ? `"${value}"` : value);
  const options = field ? values.map((value) => `${field.name}:${quoted(value)}`) : FIELDS.map((each) => `${each.name}:`);
  const set = FIELDS.filter((each) => query[each.name]);

  return html`<form class="filters" role="search" onSubmit=${submit}>
    <span class="search"><label class="hidden" for="search">Search and filter traces</label>
      <input id="search" type="search" ref=${box} list="filter-options" autocomplete="off" spellcheck="false" value=${words} onInput=${typed}
        onKeyDown=${(event) => event.key === "Escape" && (words ? setWords("") : box.current.blur())}
        placeholder="Search texts, or model:gpt-4o  user:ada  errors:yes" />
      <kbd aria-hidden="true">/</kbd></span>
    <datalist id="filter-options">${options.map((option) => html`<option key=${option} value=${option}>${field ? "" : NAMES.get(option.slice(0, -1))?.hint}</option>`)}</datalist>
    <button type="button" class="plain quick" aria-pressed=${String(query.errors === "yes")} onClick=${() => change({ errors: query.errors ? "" : "yes" })}>errors</button>
    ${set.filter((each) => each.name !== "errors").map((each) => html`<span class="chip" key=${each.name}><span class="dim">${each.name}</span> ${query[each.name]}
      <button type="button" class="plain" aria-label=${`remove the filter ${each.name} ${query[each.name]}`} onClick=${() => change({ [each.name]: "" })}>✕</button></span>`)}
  </form>`;
}

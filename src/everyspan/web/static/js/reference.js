// The API, drawn from its own description.
import { html } from "./html.js";
import { useAnswer } from "./ask.js";
import { Failure } from "./parts.js";

export function Reference() {
  const { answer, failure } = useAnswer("/api/v1/openapi.json", {}, { live: false });
  if (!answer) return html`<div class="room" aria-busy="true"><${Failure} failure=${failure} /></div>`;
  return html`<div class="room reading"><h1>API <span class="dim">${answer.info.version}</span></h1>
    <p>${answer.info.description} Every answer is JSON; an error is <code>${'{"error": "…", "message": "…"}'}</code> with a status of 400, 401, 404 or 503. The description itself, for tools:
      ${" "}<a href="/api/v1/openapi.json">openapi.json</a>. Jaeger's and Grafana's clients find their own GETs under <code>/api/traces</code> and <code>/api/services</code>.</p>
    ${Object.entries(answer.paths).map(([path, { get }]) => html`<section class="endpoint panel" key=${path}><h2><span class="tag good">GET</span> <code>${path}</code></h2><p>${get.summary}</p>
      ${get.parameters.length > 0 && html`<dl class="pairs plain-pairs">${get.parameters.map((one) => html`<dt key=${one.name}><code>${one.name}</code></dt><dd>${one.in === "path" ? "in the path" : one.description}
        ${one.schema.enum && html` <span class="dim">${one.schema.enum.join(" · ")}</span>`}${one.schema.default !== undefined && html` <span class="dim">default: ${String(one.schema.default)}</span>`}</dd>`)}</dl>`}
      <${Fields} schema=${get.responses["200"].content["application/json"]?.schema} schemas=${answer.components.schemas} /></section>`)}</div>`;
}

function Fields({ schema, schemas }) {
  const name = schema?.$ref?.split("/").at(-1);
  const shape = schemas[name];
  if (!shape?.properties) return null;
  return html`<details class="fold-part"><summary>Answer: ${name}</summary><dl class="pairs">${Object.entries(shape.properties).map(([field, type]) => html`<dt key=${field}>${field}</dt><dd>${typeOf(type)}</dd>`)}</dl></details>`;
}

function typeOf(type) {
  if (type.$ref) return type.$ref.split("/").at(-1);
  if (type.anyOf) return type.anyOf.map(typeOf).join(" or ");
  if (type.type === "array") return `list of ${type.items ? typeOf(type.items) : "values"}`;
  return type.enum ? type.enum.join(" · ") : type.format ?? type.type ?? "any";
}

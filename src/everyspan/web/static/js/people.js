// Sessions and users: who, when last, how much. Each row leads to its traces.
import { html, useState } from "./html.js";
import { Link, change } from "./address.js";
import { ask, useAnswer } from "./ask.js";
import { count, duration } from "./format.js";
import { Empty, Failure, Money, Repriced, Segments, Time, Tokens, pricesOf } from "./parts.js";

const ORDER = [["latest", "latest"], ["dearest", "dearest"], ["most", "most traces"]];
const PAGE = 60;

function People({ query, by, title, say }) {
  const order = query.order ?? "latest";
  const prices = pricesOf(query);
  const wanted = { by, order, containing: query.containing ?? "", ...prices };
  const key = JSON.stringify(wanted);
  const { answer, failure } = useAnswer("/api/v1/groups", { ...wanted, limit: PAGE });
  const [more, setMore] = useState({ key: "", groups: [], next: null });
  const mine = more.key === key ? more : { groups: [], next: null };
  const groups = [...(answer?.groups ?? []), ...mine.groups];
  const next = mine.next ?? answer?.next_offset;
  const ask_more = async () => {
    const page = await ask("/api/v1/groups", { ...wanted, limit: PAGE, offset: next });
    setMore({ key, groups: [...mine.groups, ...page.groups], next: page.next_offset ?? "" });
  };
  return html`<div class="room"><h1 class="hidden">${title}</h1>
    <div class="head"><span class="search"><label class="hidden" for="containing">Find a ${by}</label><input id="containing" type="search" placeholder=${`find a ${by}`} value=${query.containing ?? ""}
        onInput=${(event) => change({ containing: event.target.value }, { replace: true })} /></span><${Segments} label="Order" options=${ORDER} value=${order} choose=${(value) => change({ order: value })} /><div class="end"><${Repriced} query=${query} /></div></div>
    <${Failure} failure=${failure} />
    ${answer && !groups.length ? html`<${Empty} title=${query.containing ? "Nobody fits" : `No ${by}s yet`} commands=${query.containing ? null : [`with everyspan.context(${by}="${say}"):`, "    answer(question)"]}>
      ${query.containing ? "" : `Say it once around your calls, and every span below carries it.`}<//>` : answer && html`
    <div class="wide" tabindex="0" role="region" aria-label=${title}><table class="list" id=${`${by}s`}><thead><tr><th scope="col">${by}</th><th scope="col">Last trace</th>${by === "session" && html`<th scope="col" class="number">Lasted</th>`}<th scope="col" class="number">Traces</th><th scope="col" class="number">Calls</th>
        <th scope="col" class="number">Errors</th><th scope="col" class="number">Tokens</th><th scope="col" class="number">Cost</th></tr></thead>
      <tbody>${groups.map((group) => html`<tr key=${`${group.project}/${group.value}`}><td class="name"><${Link} to="/" query=${{ [by]: group.value, ...prices }}>${group.value}<//></td><td><${Time} ns=${group.last_ns} relative /></td>
        ${by === "session" && html`<td class="number dim">${duration(group.last_ns - group.first_ns)}</td>`}<td class="number">${count(group.totals.traces)}</td><td class="number">${count(group.totals.calls)}</td>
        <td class="number">${group.totals.errors ? html`<${Link} to="/" query=${{ [by]: group.value, errors: "yes", ...prices }} class="bad">${count(group.totals.errors)}<//>` : "0"}</td>
        <td class="number"><${Tokens} read=${group.totals.input_tokens} written=${group.totals.output_tokens} /></td><td class="number"><${Money} amount=${group.totals.cost} states=${group.totals.states} calls=${group.totals.calls} exact /></td></tr>`)}</tbody></table></div>
    ${next ? html`<p class="more"><button type="button" onClick=${ask_more}>More</button></p>` : ""}`}</div>`;
}

export function Sessions({ query }) {
  return html`<${People} key="session" query=${query} by="session" title="Sessions" say="chat-4711" />`;
}

export function Users({ query }) {
  return html`<${People} key="user" query=${query} by="user" title="Users" say="ada@example.com" />`;
}

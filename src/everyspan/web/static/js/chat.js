// Messages, in the shapes that the field writes them, as a conversation. Nothing is rendered as markup and nothing is
// loaded: a picture is named, not shown.
import { html, useState } from "./html.js";
import { bytes } from "./format.js";

const MOST = 4000;
const ROLES = new Set(["system", "developer", "user", "human", "assistant", "ai", "model", "tool", "function"]);

// The messages in a text, or null when it is something else.
export function chatOf(text) {
  let said;
  try {
    said = JSON.parse(text);
  } catch {
    return null;
  }
  const list = Array.isArray(said) ? said : Array.isArray(said?.messages) ? said.messages : said?.role ? [said] : null;
  if (!list?.length || !list.every((message) => message && typeof message === "object" && ROLES.has(String(message.role).toLowerCase()))) return null;
  return list.map((message) => ({ role: String(message.role), name: message.name, finish: message.finish_reason, parts: partsOf(message) }));
}

function partsOf(message) {
  const content = message.parts ?? message.content;
  const list = Array.isArray(content) ? content : content === null || content === undefined ? [] : [content];
  const parts = list.map(partOf);
  if (message.reasoning_content) parts.unshift({ kind: "reasoning", text: String(message.reasoning_content) });
  for (const call of message.tool_calls ?? []) parts.push({ kind: "call", name: call?.function?.name ?? call?.name, text: jsonOf(call?.function?.arguments ?? call?.args ?? call) });
  return parts;
}

function partOf(part) {
  if (typeof part === "string") return { kind: "text", text: part };
  if (!part || typeof part !== "object") return { kind: "text", text: String(part) };
  const type = String(part.type ?? "");
  if (type === "text" || type === "input_text" || type === "output_text") return { kind: "text", text: jsonOf(part.content ?? part.text) };
  if (type === "reasoning" || type === "thinking") return { kind: "reasoning", text: jsonOf(part.content ?? part.thinking ?? part.text) };
  if (type === "tool_call" || type === "tool_use") return { kind: "call", name: part.name, text: jsonOf(part.arguments ?? part.input) };
  if (type === "tool_call_response" || type === "tool_result") return { kind: "result", name: part.name, text: jsonOf(part.response ?? part.result ?? part.content) };
  if (/image|audio|file|blob|document|media/.test(type)) return { kind: "media", text: mediaOf(part, type) };
  return { kind: "json", text: JSON.stringify(part, null, 2) };
}

function mediaOf(part, type) {
  const source = part.image_url?.url ?? part.image_url ?? part.uri ?? part.source?.data ?? part.data ?? part.content ?? "";
  const media = part.mime_type ?? part.media_type ?? part.source?.media_type ?? String(source).match(/^data:([^;,]+)/)?.[1] ?? "";
  const where = /^https?:/.test(String(source)) ? String(source) : bytes(String(source).length);
  return [type, media, where].filter(Boolean).join(" · ");
}

function jsonOf(value) {
  if (typeof value === "string") {
    try {
      const inner = JSON.parse(value);
      return typeof inner === "object" && inner !== null ? JSON.stringify(inner, null, 2) : value;
    } catch {
      return value;
    }
  }
  return value === undefined || value === null ? "" : JSON.stringify(value, null, 2);
}

export function Chat({ messages }) {
  const [all, setAll] = useState(messages.length <= 12);
  // A long conversation: its beginning says what it is about, its end what happened.
  const shown = all ? messages : [...messages.slice(0, 2), null, ...messages.slice(-6)];
  return html`<ol class="chat">${shown.map((message, index) => message === null
    ? html`<li key="gap" class="gap"><button type="button" class="plain" onClick=${() => setAll(true)}>${messages.length - 8} more messages</button></li>`
    : html`<li key=${index} class=${`turn r-${message.role.toLowerCase()}`}><span class="role">${message.role}${message.name ? ` ${message.name}` : ""}${message.finish && message.finish !== "stop" ? html` <span class="tag warn">${message.finish}</span>` : ""}</span>
        ${message.parts.map((part, at) => html`<${Part} key=${at} part=${part} />`)}</li>`)}</ol>`;
}

const LABELS = { reasoning: "reasoning", call: "calls", result: "result", media: "not loaded" };

function Part({ part }) {
  const [all, setAll] = useState(false);
  const cut = !all && part.text.length > MOST;
  const text = cut ? part.text.slice(0, MOST) : part.text;
  return html`<div class=${`part p-${part.kind}`}>${LABELS[part.kind] && html`<span class="part-label">${LABELS[part.kind]}${part.name ? html` <b>${String(part.name)}</b>` : ""}</span>`}
    <div class="part-text">${text}</div>${cut && html`<button type="button" class="plain" onClick=${() => setAll(true)}>… ${bytes(part.text.length - MOST)} more</button>`}</div>`;
}

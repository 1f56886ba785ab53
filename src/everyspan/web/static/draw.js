// How things look. Everything a model, a user or a span said enters the document as a text node, never as markup.

export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "on") for (const [event, handler] of Object.entries(value)) made.addEventListener(event, handler);
    else if (value !== undefined && value !== null && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined).map(asNode));
  return made;
}

function asNode(child) {
  return child instanceof Node ? child : document.createTextNode(String(child));
}

export function table(caption, columns, rows, foot) {
  const cell = (tag) => (content, index) =>
    el(tag, { class: columns[index].class, scope: tag === "th" ? "col" : null }, content);
  return el("div", { class: "wide" },
    el("table", { "aria-label": caption },
      el("thead", {}, el("tr", {}, ...columns.map((column) => column.title).map(cell("th")))),
      el("tbody", {}, ...rows.map((cells) => el("tr", {}, ...cells.map(cell("td"))))),
      foot ? el("tfoot", {}, el("tr", {}, ...foot.map(cell("td")))) : null));
}

export function count(number) {
  return Number(number).toLocaleString("en");
}

export function plural(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

// Nanoseconds since 1970 lose their last digits in a double; nobody reads those on a clock.
export function moment(ns) {
  const at = new Date(ns / 1e6);
  const two = (number) => String(number).padStart(2, "0");
  const text = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} `
    + `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return el("time", { datetime: at.toISOString() }, text);
}

export function duration(ns) {
  if (ns < 1e6) return `${Math.round(ns / 1e3)} µs`;
  if (ns < 1e9) return `${Number((ns / 1e6).toPrecision(3))} ms`;
  if (ns < 120e9) return `${Number((ns / 1e9).toPrecision(3))} s`;
  return `${count(Math.round(ns / 1e9))} s`;
}

// Money stays the decimal string the server wrote. Trailing zeros go; digits that say something do not.
export function money(amount) {
  return `$${amount.includes(".") ? amount.replace(/0+$/, "").replace(/\.$/, "") : amount}`;
}

const SIGNS = { estimated: "~", partial: "≥ " };

export function callCost(span) {
  if (!span.cost_state) return "";
  if (span.cost === null) return el("span", { class: "warn" }, span.cost_state);
  const text = `${SIGNS[span.cost_state] ?? ""}${money(span.cost)}`;
  const why = span.unbilled ? `not billed: ${span.unbilled}` : span.cost_state;
  return el("span", { class: span.unbilled ? "dim" : null, title: why }, span.unbilled ? `(${text})` : text);
}

// A sum is only as good as its weakest part: whatever is not exact is said beside it.
export function sumCost(sum) {
  const parts = [];
  if (sum.cost !== null) parts.push(money(sum.cost));
  for (const [state, calls] of Object.entries(sum.states)) {
    if (["partial", "estimated", "unpriced"].includes(state)) parts.push(el("span", { class: "warn" }, ` ${count(calls)} ${state}`));
  }
  return el("span", {}, ...(parts.length ? parts : [sum.calls ? "unknown" : ""]));
}

export function tokens(counted) {
  const { input_tokens: read, output_tokens: written } = counted;
  if (read === null && written === null) return "";
  return `${read === null ? "?" : count(read)} → ${written === null ? "?" : count(written)}`;
}

const NS = "http://www.w3.org/2000/svg";

// Attributes of SVG instead of inline styles, which our content security policy forbids.
export function bar(span, from, length) {
  const svg = document.createElementNS(NS, "svg");
  svg.setAttribute("viewBox", "0 0 1000 10");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const rect = document.createElementNS(NS, "rect");
  rect.setAttribute("x", String((1000 * (span.start_ns - from)) / length));
  rect.setAttribute("width", String(Math.max(3, (1000 * (span.end_ns - span.start_ns)) / length)));
  rect.setAttribute("height", "10");
  if (span.status === "error") rect.setAttribute("class", "bad");
  svg.append(rect);
  return el("div", { class: "bar" }, svg);
}

export function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

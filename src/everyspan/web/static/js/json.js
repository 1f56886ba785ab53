// A text that may be JSON: indented when it is, as it came when not. Long ones show their beginning until asked.
import { html, useMemo, useState } from "./html.js";
import { bytes } from "./format.js";

const MOST = 12_000;

export function pretty(text) {
  try {
    const said = JSON.parse(text);
    return typeof said === "object" && said !== null ? JSON.stringify(said, null, 2) : String(said);
  } catch {
    return text;
  }
}

export function Json({ text, label }) {
  const [all, setAll] = useState(false);
  const whole = useMemo(() => pretty(text), [text]);
  const cut = !all && whole.length > MOST;
  return html`<div class="json"><pre tabindex="0" role="region" aria-label=${label}>${cut ? whole.slice(0, MOST) : whole}</pre>
    ${cut && html`<button type="button" class="plain" onClick=${() => setAll(true)}>… ${bytes(whole.length - MOST)} more</button>`}</div>`;
}

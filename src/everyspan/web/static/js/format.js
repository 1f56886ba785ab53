// How numbers read. Money and tokens stay what the server wrote: exact strings, whole numbers.

export function count(number) {
  return Number(number).toLocaleString("en");
}

export function plural(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

// 1,234,567 as 1.23M: where the exact number stands in the title beside it.
export function short(number) {
  if (number < 10_000) return count(number);
  for (const [size, letter] of [[1e9, "B"], [1e6, "M"], [1e3, "k"]]) {
    if (number >= size) return `${Number((number / size).toPrecision(3))}${letter}`;
  }
  return count(number);
}

const two = (number) => String(number).padStart(2, "0");

export function clock(ns) {
  const at = new Date(ns / 1e6);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

export function day(ns) {
  const at = new Date(ns / 1e6);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
}

// Nanoseconds since 1970 lose their last digits in a double; nobody reads those on a clock.
export function moment(ns) {
  return `${day(ns)} ${clock(ns)}`;
}

export function ago(ns, now = Date.now()) {
  const seconds = Math.max(0, now - ns / 1e6) / 1000;
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

export function duration(ns) {
  if (ns === 0) return "0";
  if (ns < 1e6) return `${Math.round(ns / 1e3)} µs`;
  if (ns < 1e9) return `${Number((ns / 1e6).toPrecision(3))} ms`;
  if (ns < 120e9) return `${Number((ns / 1e9).toPrecision(3))} s`;
  if (ns < 7200e9) return `${Math.floor(ns / 60e9)} min ${Math.round((ns % 60e9) / 1e9)} s`;
  return `${Number((ns / 3600e9).toPrecision(3))} h`;
}

// Trailing zeros go; digits that say something do not.
export function money(amount) {
  if (amount === null || amount === undefined) return "";
  return `$${amount.includes(".") ? amount.replace(/0+$/, "").replace(/\.$/, "") : amount}`;
}

// Senders that count in floats state amounts such as 0.062876000000000000064: nobody reads the end of those, and the
// title beside it has it.
export function legible(amount) {
  const text = money(amount);
  return text.length > 16 ? money(Number(amount).toFixed(12)) : text;
}

// For columns and charts: four digits that matter, the exact amount being in the title.
export function roughly(amount) {
  if (amount === null || amount === undefined) return "";
  const number = Number(amount);
  if (number === 0) return "$0";
  if (number < 0.000001) return "<$0.000001";
  if (number < 0.0001) return `$${number.toFixed(6)}`;
  if (number >= 1000) return `$${Math.round(number).toLocaleString("en")}`;
  if (number >= 1) return `$${number.toFixed(2)}`;
  return `$${Number(number.toPrecision(3)).toFixed(Math.min(10, Math.max(2, 2 - Math.floor(Math.log10(number)))))}`;
}

export function bytes(size) {
  if (size < 1024) return `${size} B`;
  return size < 1 << 20 ? `${(size / 1024).toFixed(1)} KiB` : `${(size / (1 << 20)).toFixed(1)} MiB`;
}

export function percent(part, whole) {
  if (!whole) return "";
  const share = (100 * part) / whole;
  return `${share >= 10 || share === 0 ? Math.round(share) : share.toFixed(1)} %`;
}

const UNSURE = ["unpriced", "partial", "estimated"];

// What keeps a sum from being exact, as [calls, state] pairs.
export function doubts(states) {
  return UNSURE.filter((state) => states?.[state]).map((state) => [states[state], state]);
}

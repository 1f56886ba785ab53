// The spans of a trace, as the skeleton endpoint sends them, and what of them is unfolded. Linear in the spans.

export function treeOf({ summary, fields, spans }) {
  const at = Object.fromEntries(fields.map((name, place) => [name, place]));
  // One literal for all: engines read and make objects of one shape many times faster than ones put together by name.
  const rows = spans.map((values, index) => ({
    index, key: values[at.key], id: values[at.id], depth: values[at.depth], missing: values[at.missing], start: values[at.start], took: values[at.took],
    name: values[at.name], kind: values[at.kind], model: values[at.model], provider: values[at.provider], service: values[at.service],
    status: values[at.status], end: values[at.end], cost: values[at.cost], state: values[at.state], unbilled: values[at.unbilled],
    read: values[at.read], written: values[at.written], first_token: values[at.first_token], ledger: values[at.ledger], again: "", parentIndex: -1, last: index, children: 0,
  }));
  const above = [];
  const calls = new Map();
  for (const row of rows) {
    above.length = row.depth;
    if (row.depth > 0) row.parentIndex = above[row.depth - 1];
    above[row.depth] = row.index;
    if (row.state) row.again = followsFailure(row, calls);
  }
  for (let index = rows.length - 1; index >= 0; index -= 1) {
    const row = rows[index];
    if (row.parentIndex < 0) continue;
    const parent = rows[row.parentIndex];
    parent.children += 1;
    if (row.last > parent.last) parent.last = row.last;
  }
  return { summary, rows, length: Math.max(1, summary.ended_ns - summary.started_ns) };
}

// A call that began after the one before it, below the same parent, had failed: a second try, or another model's.
function followsFailure(row, calls) {
  const before = calls.get(row.parentIndex);
  calls.set(row.parentIndex, row);
  const failed = before?.status === "error" && row.parentIndex >= 0 && before.start + before.took <= row.start;
  return !failed ? "" : before.model === row.model ? "tried again" : "fell back";
}

// The rows to draw: folded ones hide everything up to their last descendant.
export function visible(rows, folded) {
  if (!folded.size) return rows;
  const shown = [];
  for (let index = 0; index < rows.length; index += 1) {
    shown.push(rows[index]);
    if (folded.has(rows[index].key)) index = rows[index].last;
  }
  return shown;
}

export function ancestors(rows, row) {
  const found = [];
  for (let at = row.parentIndex; at >= 0; at = rows[at].parentIndex) found.push(rows[at]);
  return found;
}

// Round times for an axis: about `wanted` of them, at 1, 2 or 5 times a power of ten.
export function ticks(length, wanted) {
  const rough = length / Math.max(1, wanted);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough) ?? rough;
  const found = [];
  for (let at = 0; at <= length; at += step) found.push(at);
  return found;
}

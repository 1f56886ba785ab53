// The spans of a trace, as the skeleton endpoint sends them, and what of them is unfolded. Linear in the spans.

export function treeOf({ summary, fields, spans }) {
  const rows = spans.map((values, index) => {
    const row = { index };
    for (let at = 0; at < fields.length; at += 1) row[fields[at]] = values[at];
    return row;
  });
  const above = [];
  for (const row of rows) {
    above.length = row.depth;
    row.parentIndex = row.depth > 0 ? above[row.depth - 1] : -1;
    above[row.depth] = row.index;
    row.last = row.index;
    row.children = 0;
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

// The limits that the collector was given: a banner while one is near or reached, and bars beside the costs.
import { html } from "./html.js";
import { Link } from "./address.js";
import { useAnswer } from "./ask.js";
import { legible, money, percent, plural } from "./format.js";

const narrowedTo = (filters) => Object.entries(filters).map(([name, value]) => `${name} ${value}`).join(", ");
const callsOf = (budget) => ({ ...budget.filters, since_ns: String(budget.since_ns) });

const NOW = { day: "today", week: "this week", month: "this month" };

export function Budgets() {
  const { answer } = useAnswer("/api/v1/budgets");
  const told = (answer?.budgets ?? []).filter((each) => each.verdict !== "within");
  if (!told.length && !answer?.problem) return null;
  const worst = told.some((each) => each.verdict === "reached") || answer.problem;
  return html`<div class=${worst ? "alert" : "alert warn"} role="status" id="budgets">
    ${answer.problem && html`<p>Budgets: ${answer.problem}</p>`}
    ${told.map((each) => html`<p key=${each.name}><b>${each.verdict === "reached" ? "Budget reached" : "Budget nearly reached"}: ${each.name}.</b>
      ${" "}${legible(each.spent)} of ${legible(each.limit)} ${NOW[each.per]}${Object.keys(each.filters).length ? `, ${narrowedTo(each.filters)}` : ""}${each.without_whole_price ? `, and ${plural(each.without_whole_price, "call")} without a whole price` : ""}.
      ${" "}<${Link} to="/cost" query=${callsOf(each)}>What it went to<//></p>`)}</div>`;
}

export function BudgetBars() {
  const budgets = useAnswer("/api/v1/budgets").answer?.budgets;
  if (!budgets) return null;
  if (!budgets.length) {
    return html`<p class="dim small no-budgets">No budgets. <code>EVERYSPAN_BUDGETS=budgets.toml everyspan serve</code> draws them here.</p>`;
  }
  return html`<section class="panel" id="budget-bars"><h2>Budgets</h2><div class="budgets">${budgets.map((each) => html`<${Bar} key=${each.name} budget=${each} />`)}</div></section>`;
}

function Bar({ budget }) {
  const { name, spent, limit, per, filters, verdict, without_whole_price: unsure } = budget;
  const share = (100 * Number(spent)) / Number(limit);
  const tone = { reached: "over", near: "near" }[verdict] ?? "";
  return html`<div class="budget"><div class="budget-head"><${Link} to="/cost" query=${callsOf(budget)}>${name}<//>
      <span class="number" title=${`${money(spent)} of ${money(limit)}`}><b>${legible(spent)}</b> <span class="dim">of ${legible(limit)} a ${per}</span></span></div>
    <span class=${`meter ${tone}`} role="img" aria-label=${`${name}: ${percent(Number(spent), Number(limit))} of the limit`}><span style=${{ width: `${Math.min(100, share)}%` }}></span></span>
    <div class="small dim">${percent(Number(spent), Number(limit)) || "0 %"}${Object.keys(filters).length ? ` · ${narrowedTo(filters)}` : ""}${verdict === "reached" ? html` · <span class="bad">reached</span>` : ""}${unsure ? html` · <span class="warn">${plural(unsure, "call")} without a whole price</span>` : ""}</div></div>`;
}

// Revenue, costs and margin at a glance.

import { Empty } from "../empty.js";
import { html } from "../html.js";
import { MarginChart } from "../margin.js";
import { isFiltered } from "../state.js";
import { Tiles, tileQuestions } from "../tiles.js";

/** @typedef {import("../state.js").View} View */

/** The metrics of the tiles, in their order. */
const TILES = [
  "revenue",
  "costs",
  "cashflow",
  "gross_margin",
  "gross_margin_percentage",
  "cost_per_user",
  "active_user_by_event",
  "monthly_recurring_revenue",
];

/**
 * The questions of the page: the span, and the one before it.
 * @param {View} view
 * @param {Date} now
 * @returns {import("../api.js").Question[]}
 */
export function questions(view, now) {
  return tileQuestions(view, TILES, now);
}

/**
 * @param {{ view: View, answers: any[], signedIn: boolean }} props
 */
export function Page({ view, answers, signedIn }) {
  const [answer, before] = answers;
  const { revenue, costs, activeUserByEvent } = answer.totals;
  const isEmpty = revenue === "0" && costs === "0" && activeUserByEvent === "0";
  return html`
    ${isEmpty && html`<${Empty} isFiltered=${isFiltered(view)} signedIn=${signedIn} />`}
    <${Tiles} view=${view} slugs=${TILES} answer=${answer} before=${before} />
    <${MarginChart} view=${view} answer=${answer} />
  `;
}

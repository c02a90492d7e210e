// Totals of a span, each with its change to the span before and its course.

import { metricsQuestion } from "./api.js";
import { html } from "./html.js";
import { change, count, difference, percent, points, position } from "./money.js";
import { Amount, Sparkline } from "./parts.js";
import { daysBefore, daysOf, intervalOf, length, requestOf } from "./state.js";

/** @typedef {import("./state.js").View} View */

/** @typedef {{
 *   name: string,
 *   kind: "money" | "count" | "percent",
 *   good: -1 | 0 | 1,
 *   note: string,
 *   of?: (numbers: any) => string,
 * }} Tile `good` is the direction that is good news; `of` makes the number of those that an answer has
 */

/** The tiles by the slugs of their metrics, or by a name where there is none. @type {Record<string, Tile>} */
const TILES = {
  revenue: { name: "Revenue", kind: "money", good: 1, note: "What orders of the span earned, before fees and refunds." },
  net_revenue: { name: "Net revenue", kind: "money", good: 1, note: "What orders of the span earned, less their fees, refunds and disputes." },
  deductions: { name: "Fees and refunds", kind: "money", good: -1, note: "Revenue less net revenue: fees, refunds and disputes of orders of the span.", of: (numbers) => difference(numbers.revenue, numbers.netRevenue) },
  costs: { name: "Costs", kind: "money", good: -1, note: "The costs of all events of the span." },
  cashflow: { name: "Cashflow", kind: "money", good: 1, note: "Revenue less costs of the span." },
  gross_margin: { name: "Gross margin so far", kind: "money", good: 1, note: "All revenue less all costs up to the end of the span, also those before it." },
  gross_margin_percentage: { name: "Gross margin % so far", kind: "percent", good: 1, note: "The gross margin as a part of all revenue up to the end of the span." },
  cumulative_revenue: { name: "Revenue so far", kind: "money", good: 1, note: "All revenue up to the end of the span, also that before it." },
  cumulative_costs: { name: "Costs so far", kind: "money", good: -1, note: "All costs up to the end of the span, also those before it." },
  cost_per_user: { name: "Cost per customer", kind: "money", good: -1, note: "Costs by the customers who caused an event in the span." },
  active_user_by_event: { name: "Active customers", kind: "count", good: 1, note: "The customers who caused an event in the span." },
  monthly_recurring_revenue: { name: "MRR", kind: "money", good: 1, note: "What the subscriptions that are active at the end of the span earn in a month." },
  committed_monthly_recurring_revenue: { name: "Committed MRR", kind: "money", good: 1, note: "The part of MRR whose subscriptions have no end." },
  annual_recurring_revenue: { name: "ARR", kind: "money", good: 1, note: "Twelve times MRR." },
  average_revenue_per_user: { name: "MRR per customer", kind: "money", good: 1, note: "MRR by the customers of all active subscriptions." },
  active_subscriptions: { name: "Active subscriptions", kind: "count", good: 1, note: "The subscriptions that have started and not ended at the end of the span." },
  new_subscriptions: { name: "New subscriptions", kind: "count", good: 1, note: "The subscriptions that started in a period of the span and did not end in it." },
  renewed_subscriptions: { name: "Renewed subscriptions", kind: "count", good: 1, note: "The subscriptions that started in an earlier period and were paid again." },
  churned_subscriptions: { name: "Churned subscriptions", kind: "count", good: -1, note: "The subscriptions that ended in the span." },
  canceled_subscriptions: { name: "Canceled subscriptions", kind: "count", good: -1, note: "The subscriptions that were canceled in the span, and not uncanceled since." },
  churn_rate: { name: "Churn rate", kind: "percent", good: -1, note: "Of the subscriptions active 30 days before the last period, the part that was canceled until then; by years, that of the year." },
  orders: { name: "Orders", kind: "count", good: 1, note: "The orders of the span." },
  average_order_value: { name: "Average order", kind: "money", good: 1, note: "What an order of the span earned on average." },
  ltv: { name: "Lifetime value", kind: "money", good: 1, note: "MRR per customer less cost per customer, by the churn rate; 0 where nothing churns." },
};

/**
 * The questions of tiles, and of charts beside them: the span, and the one before it.
 * @param {View} view
 * @param {string[]} metrics
 * @param {Date} now
 * @returns {import("./api.js").Question[]}
 */
export function tileQuestions(view, metrics, now) {
  const days = daysOf(view, now);
  const interval = intervalOf(view, days);
  return [
    metricsQuestion({ ...requestOf(view, days, interval), metrics }),
    metricsQuestion({ ...requestOf(view, daysBefore(days), interval), metrics }),
  ];
}

/**
 * @param {{ view: View, slugs: string[], answer: any, before: any }} props
 */
export function Tiles({ view, slugs, answer, before }) {
  const periods = /** @type {any[]} */ (answer.periods ?? []);
  const days = length(daysOf(view, new Date()));
  const span = days === 1 ? "the day before" : `the ${days} days before`;
  return html`
    <ul class="tiles" aria-label="Totals">
      ${slugs.map((slug) => {
        const tile = /** @type {Tile} */ (TILES[slug]);
        const of = tile.of ?? ((/** @type {any} */ numbers) => numbers[fieldOf(slug)]);
        return html`
          <li key=${slug} class="tile" title=${tile.note}>
            <h2>${tile.name}</h2>
            <p class="value" data-metric=${slug}>${number(tile, of(answer.totals))}</p>
            <${Change} tile=${tile} now=${of(answer.totals)} before=${of(before.totals)} span=${span} />
            <${Sparkline} values=${periods.map((period) => position(of(period)))} />
          </li>
        `;
      })}
    </ul>
  `;
}

/** @param {string} slug @returns {string} the field of a metric in JSON */
function fieldOf(slug) {
  return slug.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
}

/**
 * @param {{ tile: Tile, now: string, before: string, span: string }} props
 */
function Change({ tile, now, before, span }) {
  const { words, direction } = tile.kind === "percent" ? points(now, before) : change(now, before);
  const news = direction * tile.good;
  return html`
    <p class=${`change ${news > 0 ? "good" : news < 0 ? "bad" : ""}`}>
      ${direction > 0 ? "▲ " : direction < 0 ? "▼ " : ""}${words}
      <span class="note"> vs. ${span}</span>
    </p>
  `;
}

/** @param {Tile} tile @param {string} text */
function number(tile, text) {
  if (tile.kind === "money") return html`<${Amount} cents=${text} />`;
  return tile.kind === "percent" ? percent(text) : count(text);
}

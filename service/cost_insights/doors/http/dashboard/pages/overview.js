// Revenue, costs and margin at a glance.

import { Chart, course, timesOf } from "../charts.js";
import { html } from "../html.js";
import { change, count, percent, points, position } from "../money.js";
import { Amount, Sparkline } from "../parts.js";
import { daysBefore, daysOf, intervalOf, isFiltered, length, requestOf } from "../state.js";

/** @typedef {import("../state.js").View} View */

/** @typedef {{
 *   slug: string,
 *   field: string,
 *   name: string,
 *   kind: "money" | "count" | "percent",
 *   good: -1 | 0 | 1,
 *   note: string,
 * }} Tile `good` is the direction that is good news
 */

/** @type {Tile[]} */
const TILES = [
  { slug: "revenue", field: "revenue", name: "Revenue", kind: "money", good: 1, note: "What orders of the span earned, before fees and refunds." },
  { slug: "costs", field: "costs", name: "Costs", kind: "money", good: -1, note: "The costs of all events of the span." },
  { slug: "cashflow", field: "cashflow", name: "Cashflow", kind: "money", good: 1, note: "Revenue less costs of the span." },
  { slug: "gross_margin", field: "grossMargin", name: "Gross margin", kind: "money", good: 1, note: "All revenue less all costs up to the end of the span, also those before it." },
  { slug: "gross_margin_percentage", field: "grossMarginPercentage", name: "Gross margin %", kind: "percent", good: 1, note: "The gross margin as a part of all revenue up to the end of the span." },
  { slug: "cost_per_user", field: "costPerUser", name: "Cost per customer", kind: "money", good: -1, note: "Costs by the customers who caused an event in the span." },
  { slug: "active_user_by_event", field: "activeUserByEvent", name: "Active customers", kind: "count", good: 1, note: "The customers who caused an event in the span." },
  { slug: "monthly_recurring_revenue", field: "monthlyRecurringRevenue", name: "MRR", kind: "money", good: 1, note: "What the subscriptions that are active at the end of the span earn in a month." },
];

/**
 * The requests of the page: the span, and the one before it.
 * @param {View} view
 * @param {Date} now
 * @returns {object[]}
 */
export function requests(view, now) {
  const days = daysOf(view, now);
  const interval = intervalOf(view, days);
  const metrics = TILES.map((tile) => tile.slug);
  return [
    { ...requestOf(view, days, interval), metrics },
    { ...requestOf(view, daysBefore(days), interval), metrics },
  ];
}

/**
 * @param {{ view: View, answers: any[], signedIn: boolean }} props
 */
export function Page({ view, answers, signedIn }) {
  const [answer, before] = answers;
  const periods = /** @type {any[]} */ (answer.periods ?? []);
  const days = daysOf(view, new Date());
  const span = length(days) === 1 ? "the day before" : `the ${length(days)} days before`;
  const { revenue, costs, activeUserByEvent } = answer.totals;
  const isEmpty = revenue === "0" && costs === "0" && activeUserByEvent === "0";
  return html`
    ${isEmpty && html`<${Empty} isFiltered=${isFiltered(view)} signedIn=${signedIn} />`}
    <ul class="tiles" aria-label="Totals">
      ${TILES.map(
        (tile) => html`
          <li key=${tile.slug} class="tile" title=${tile.note}>
            <h2>${tile.name}</h2>
            <p class="value" data-metric=${tile.slug}>${number(tile, answer.totals[tile.field])}</p>
            <${Change} tile=${tile} now=${answer.totals[tile.field]} before=${before.totals[tile.field]} span=${span} />
            <${Sparkline} values=${periods.map((period) => position(period[tile.field]))} />
          </li>
        `,
      )}
    </ul>
    <${Chart}
      label=${`Revenue and costs, ${days.start} to ${days.end}`}
      zone=${view.zone}
      ...${timesOf(periods, intervalOf(view, days))}
      series=${[
        { name: "Revenue", color: "revenue", ...course(periods, "revenue") },
        { name: "Costs", color: "costs", ...course(periods, "costs") },
      ]}
      total=${{ name: "Margin", texts: course(periods, "cashflow").texts }}
    />
  `;
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

/**
 * What to do where nothing has happened yet.
 * @param {{ isFiltered: boolean, signedIn: boolean }} props
 */
function Empty({ isFiltered, signedIn }) {
  if (isFiltered) {
    return html`<p class="empty" role="status">Nothing in this span passes the filters. Remove one, or choose a longer span.</p>`;
  }
  const address = new URL("v1/events/ingest", document.baseURI).href;
  const authorization = signedIn ? ` --oauth2-bearer "$TOKEN"` : "";
  const body = `{"events": [{"name": "llm.inference", "external_customer_id": "user_123", "metadata": {"_cost": {"amount": 0.025, "currency": "usd"}}}]}`;
  return html`
    <section class="empty" role="status">
      <p>There are no events in this span yet. Choose a longer span, or send an event; it appears here within seconds:</p>
      <pre tabindex="0"><code>curl --fail-with-body ${address}${authorization} --json '${body}'</code></pre>
    </section>
  `;
}

/** @param {Tile} tile @param {string} text */
function number(tile, text) {
  if (tile.kind === "money") return html`<${Amount} cents=${text} />`;
  return tile.kind === "percent" ? percent(text) : count(text);
}

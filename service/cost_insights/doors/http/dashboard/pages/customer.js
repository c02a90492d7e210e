// One customer: earnings and costs, products, and what is stored.

import { html } from "../html.js";
import { Section, eventColumns, orderColumns, refundColumns, subscriptionColumns } from "../lists.js";
import { MarginChart } from "../margin.js";
import { ViewLink } from "../parts.js";
import { Ranking, rankingQuestions } from "../ranking.js";
import { customersOf, filtersOf, isFiltered } from "../state.js";
import { Tiles, tileQuestions } from "../tiles.js";

/** @typedef {import("../state.js").View} View */

const LISTED_MAX = 10;

/** The metrics of the tiles, in their order. */
const TILES = [
  "revenue",
  "costs",
  "cashflow",
  "monthly_recurring_revenue",
  "cumulative_revenue",
  "cumulative_costs",
  "gross_margin",
  "gross_margin_percentage",
  "ltv",
];

/** @type {import("../app.js").Tools} */
export const tools = { dimensions: ["event", "product", "vendor", "model"] };

/**
 * The questions of the page.
 * @param {View} view
 * @param {Date} now
 * @returns {import("../api.js").Question[]}
 */
export function questions(view, now) {
  const alone = filtered(view);
  const latest = { ...filtersOf(alone), pageSize: LISTED_MAX };
  const paid = { ...customersOf(alone), productIds: view.filters.product, pageSize: LISTED_MAX };
  return [
    ...tileQuestions(alone, TILES, now),
    ...rankingQuestions(alone, "product", "costs desc", now),
    { rpc: "EventService/ListEvents", request: latest, isOptional: true },
    { rpc: "RevenueService/ListOrders", request: paid, isOptional: true },
    { rpc: "RevenueService/ListRefunds", request: paid, isOptional: true },
    { rpc: "RevenueService/ListSubscriptions", request: paid, isOptional: true },
  ];
}

/**
 * @param {import("../app.js").PageProps} props
 */
export function Page({ view, answers, signedIn, onChange }) {
  const [answer, before, products, productsBefore, events, orders, refunds, subscriptions] = answers;
  const alone = filtered(view);
  const known = [events.events, orders.orders, subscriptions.subscriptions].find((list) => list?.length > 0)?.[0];
  const { cumulativeCosts, cumulativeRevenue } = answer.totals;
  const isUnknown = !known && !events.denied && !isFiltered(view) && cumulativeCosts === "0" && cumulativeRevenue === "0";
  return html`
    ${isUnknown && html`<p class="empty" role="status">Nothing is stored of a customer with this identifier.</p>`}
    <p>
      ${known &&
      html`
        <span class="note">Identifiers:</span> <bdi>${known.externalCustomerId ?? ""}</bdi> <bdi>${known.customerId ?? ""}</bdi> ·${" "}
      `}
      <${ViewLink} view=${{ ...alone, page: "breakdown" }} onChange=${onChange}>Breakdown of costs<//> ·${" "}
      <${ViewLink} view=${{ ...alone, page: "events" }} onChange=${onChange}>All events<//>
    </p>
    <${Tiles} view=${view} slugs=${TILES} answer=${answer} before=${before} />
    <${MarginChart} view=${alone} answer=${answer} />
    <section aria-label="Products">
      <h2>Products</h2>
      <${Ranking}
        view=${alone}
        dimension="product"
        answer=${products}
        before=${productsBefore}
        signedIn=${signedIn}
        onChange=${onChange}
      />
    </section>
    <${Section}
      name="Latest events"
      answer=${events}
      field="events"
      columns=${eventColumns(view, onChange)}
      keyOf=${(/** @type {any} */ event) => event.id}
    />
    <${Section}
      name="Latest payments"
      answer=${orders}
      field="orders"
      columns=${orderColumns(view)}
      keyOf=${(/** @type {any} */ order) => order.orderId}
    />
    <${Section}
      name="Latest refunds and disputes"
      answer=${refunds}
      field="refunds"
      columns=${refundColumns(view)}
      keyOf=${(/** @type {any} */ refund) => refund.refundId}
    />
    <${Section}
      name="Subscriptions"
      answer=${subscriptions}
      field="subscriptions"
      columns=${subscriptionColumns(view, onChange)}
      keyOf=${(/** @type {any} */ one) => one.subscriptionId}
    />
  `;
}

/** @param {View} view @returns {View} the same, filtered by the customer that the page is about */
function filtered(view) {
  return { ...view, filters: { ...view.filters, customer: [view.id] } };
}

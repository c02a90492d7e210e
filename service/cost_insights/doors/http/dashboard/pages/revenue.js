// Subscriptions and revenue: what recurs, what is new, and what was given back.

import { Chart, countCourse, course, timesOf } from "../charts.js";
import { Empty } from "../empty.js";
import { html } from "../html.js";
import { List, Section, refundColumns, subscriptionColumns } from "../lists.js";
import { count } from "../money.js";
import { boundsOf, customersOf, daysOf, intervalOf, labelOf } from "../state.js";
import { Tiles, tileQuestions } from "../tiles.js";

/** @typedef {import("../state.js").View} View */

const LISTED_MAX = 20;

/** The metrics of the tiles, in their order. */
const TILES = [
  "monthly_recurring_revenue",
  "annual_recurring_revenue",
  "active_subscriptions",
  "average_revenue_per_user",
  "new_subscriptions",
  "renewed_subscriptions",
  "canceled_subscriptions",
  "churned_subscriptions",
  "churn_rate",
  "ltv",
  "revenue",
  "deductions",
  "net_revenue",
  "orders",
  "average_order_value",
];

/** What the page asks beside the metrics that have tiles. */
const OTHERS = [
  "committed_monthly_recurring_revenue",
  "new_subscriptions_revenue",
  "renewed_subscriptions_revenue",
  "one_time_products_revenue",
];

/** Reasons of cancellations in words, by what their slugs and fields end in. */
const REASONS = [
  { name: "Too expensive", slug: "too_expensive", field: "TooExpensive" },
  { name: "Missing features", slug: "missing_features", field: "MissingFeatures" },
  { name: "Switched to another service", slug: "switched_service", field: "SwitchedService" },
  { name: "Not used", slug: "unused", field: "Unused" },
  { name: "Customer service", slug: "customer_service", field: "CustomerService" },
  { name: "Low quality", slug: "low_quality", field: "LowQuality" },
  { name: "Too complex", slug: "too_complex", field: "TooComplex" },
  { name: "Another one, or not known", slug: "other", field: "Other" },
];

/** @type {import("../app.js").Tools} */
export const tools = { dimensions: ["customer", "product"] };

/**
 * The questions of the page.
 * @param {View} view
 * @param {Date} now
 * @returns {import("../api.js").Question[]}
 */
export function questions(view, now) {
  const metrics = [
    ...TILES.filter((slug) => slug !== "deductions"),
    ...OTHERS,
    ...REASONS.map(({ slug }) => `canceled_subscriptions_${slug}`),
  ];
  const request = {
    ...boundsOf(daysOf(view, now), view.zone),
    ...customersOf(view),
    productIds: view.filters.product,
    pageSize: LISTED_MAX,
  };
  return [
    ...tileQuestions(view, metrics, now),
    { rpc: "RevenueService/ListSubscriptions", request, isOptional: true },
    { rpc: "RevenueService/ListRefunds", request, isOptional: true },
  ];
}

/**
 * @param {import("../app.js").PageProps} props
 */
export function Page({ view, answers, signedIn, onChange }) {
  const [answer, before, subscriptions, refunds] = answers;
  const { orders, activeSubscriptions, churnedSubscriptions } = answer.totals;
  const { customer, product } = view.filters;
  const isEmpty = [orders, activeSubscriptions, churnedSubscriptions].every((number) => number === "0");
  return html`
    ${isEmpty &&
    html`<${Empty} of="revenue" isFiltered=${customer.length + product.length > 0} signedIn=${signedIn} />`}
    <${Tiles} view=${view} slugs=${TILES} answer=${answer} before=${before} />
    <${Charts} view=${view} answer=${answer} />
    <${Reasons} view=${view} answer=${answer} before=${before} />
    <${Section}
      name="Subscriptions started in this span"
      answer=${subscriptions}
      field="subscriptions"
      columns=${subscriptionColumns(view, onChange)}
      keyOf=${(/** @type {any} */ one) => one.subscriptionId}
    />
    <${Section}
      name="Refunds and disputes in this span"
      answer=${refunds}
      field="refunds"
      columns=${refundColumns(view)}
      keyOf=${(/** @type {any} */ refund) => refund.refundId}
    />
  `;
}

/**
 * @param {{ view: View, answer: any }} props
 */
function Charts({ view, answer }) {
  const now = new Date();
  const periods = /** @type {any[]} */ (answer.periods ?? []);
  const times = timesOf(periods, intervalOf(view, daysOf(view, now)));
  return html`
    <${Chart}
      label=${labelOf("Monthly recurring revenue", view, now)}
      zone=${view.zone}
      ...${times}
      series=${[
        { name: "MRR", color: "revenue", ...course(periods, "monthlyRecurringRevenue") },
        { name: "Committed MRR", color: "costs", ...course(periods, "committedMonthlyRecurringRevenue") },
      ]}
      total=${{ name: "ARR", ...course(periods, "annualRecurringRevenue") }}
    />
    <${Chart}
      label=${labelOf("Revenue by its kind", view, now)}
      zone=${view.zone}
      ...${times}
      series=${[
        { name: "New subscriptions", color: "series-1", ...course(periods, "newSubscriptionsRevenue") },
        { name: "Renewed subscriptions", color: "series-2", ...course(periods, "renewedSubscriptionsRevenue") },
        { name: "One-time products", color: "series-3", ...course(periods, "oneTimeProductsRevenue") },
      ]}
      total=${{ name: "Revenue", ...course(periods, "revenue") }}
      isStacked
    />
    <${Chart}
      label=${labelOf("Subscriptions", view, now)}
      zone=${view.zone}
      ...${times}
      series=${[
        { name: "New", color: "series-1", ...countCourse(periods, "newSubscriptions") },
        { name: "Renewed", color: "series-2", ...countCourse(periods, "renewedSubscriptions") },
        { name: "Churned", color: "series-4", ...countCourse(periods, "churnedSubscriptions") },
      ]}
      total=${{ name: "Active at the end", ...countCourse(periods, "activeSubscriptions") }}
      isCount
    />
  `;
}

/**
 * Why subscriptions were canceled.
 * @param {{ view: View, answer: any, before: any }} props
 */
function Reasons({ view, answer, before }) {
  const items = REASONS.map(({ name, field }) => ({
    name,
    now: answer.totals[`canceledSubscriptions${field}`],
    before: before.totals[`canceledSubscriptions${field}`],
  })).filter((item) => item.now !== "0" || item.before !== "0");
  if (items.length === 0) return null;
  return html`
    <section aria-label="Cancellations">
      <h2>Cancellations</h2>
      <${List}
        label=${labelOf("Canceled subscriptions by reason", view, new Date())}
        columns=${[
          { name: "Reason", cell: (/** @type {any} */ item) => item.name },
          { name: "In this span", cell: (/** @type {any} */ item) => count(item.now) },
          { name: "In the one before", cell: (/** @type {any} */ item) => count(item.before) },
        ]}
        items=${items}
        keyOf=${(/** @type {any} */ item) => item.name}
      />
    </section>
  `;
}

// A table of groups, the first in some order first, with their shares and changes.

import { metricsQuestion, stream } from "./api.js";
import { Table, csvLine } from "./downloads.js";
import { Empty } from "./empty.js";
import { html } from "./html.js";
import { change, count, percent, plainDollars, quotient, share, sum } from "./money.js";
import { Amount, ViewLink, shown } from "./parts.js";
import { DIMENSIONS, customerView, daysBefore, daysOf, focusRequest, isFiltered, labelOf, requestOf } from "./state.js";

/** @typedef {import("./state.js").View} View */
/** @typedef {import("./state.js").Dimension} Dimension */

const ROWS_MAX = 100;
const COMPARED_MAX = 1_000;

/** The dimensions that revenue has too. */
const EARNING = new Set(["customer", "product"]);

/**
 * The questions of a table: the groups of the span, and those of the one before it.
 *
 * Totals do not depend on the interval, so it is the longest: there are few periods to answer.
 * @param {View} view
 * @param {Dimension} dimension
 * @param {string} order
 * @param {Date} now
 * @returns {import("./api.js").Question[]}
 */
export function rankingQuestions(view, dimension, order, now) {
  const days = daysOf(view, now);
  const metrics = [
    "costs",
    ...(dimension === "customer" ? [] : ["events"]),
    ...(EARNING.has(dimension) ? ["revenue", "cashflow"] : ["active_user_by_event", "cost_per_user"]),
  ];
  const groupBy = DIMENSIONS[dimension].group;
  return [
    metricsQuestion({
      ...requestOf(view, days, "year"),
      metrics,
      groupBy,
      groupsMax: ROWS_MAX,
      orderBy: order,
    }),
    metricsQuestion({
      ...requestOf(view, daysBefore(days), "year"),
      metrics: ["costs"],
      groupBy,
      groupsMax: COMPARED_MAX,
    }),
  ];
}

/**
 * The costs of each group; null of one that may be among those without a group of their own.
 * @param {any} answer
 */
export function costsOf(answer) {
  return totalsOf(answer, "costs");
}

/**
 * The totals of a metric of each group; null of one that may be among those without a group of their own.
 * @param {any} answer
 * @param {string} metric its field
 * @returns {(value: string) => string | null}
 */
export function totalsOf(answer, metric) {
  /** @type {Map<string, string>} */
  const totals = new Map();
  let rest = /** @type {string | null} */ ("0");
  for (const group of answer.groups ?? []) {
    if (group.others) rest = BigInt(group.members ?? "0") > 0n ? null : rest;
    else totals.set(group.value ?? "", group.totals[metric]);
  }
  return (value) => totals.get(value) ?? rest;
}

/** @typedef {Record<string, string>} Totals the numbers of a group by the names that an answer has */

/** @typedef {{
 *   name: string,
 *   kind: "amount" | "count" | "words",
 *   value: (totals: Totals, was: string | null) => string,
 *   marksLosses?: boolean,
 * }} Column its values are cents, whole numbers or words; `was` are the costs before
 */

/**
 * The columns behind the name of a group.
 * @param {Dimension} dimension
 * @param {string} whole the costs of everything
 * @returns {Column[]}
 */
function columnsOf(dimension, whole) {
  return [
    { name: "Costs", kind: "amount", value: ({ costs = "0" }) => costs },
    { name: "Share", kind: "words", value: ({ costs = "0" }) => percent(share(costs, whole)) },
    { name: "Change", kind: "words", value: ({ costs = "0" }, was) => (was === null ? "" : change(costs, was).words) },
    ...(dimension === "customer" ? [] : OF_EVENTS),
    ...(EARNING.has(dimension) ? EARNED : OF_CUSTOMERS),
  ];
}

/** @type {Column[]} */
const OF_EVENTS = [
  { name: "Events", kind: "count", value: ({ events = "0" }) => events },
  { name: "Per event", kind: "amount", value: ({ costs = "0", events = "0" }) => quotient(costs, events) },
];

/** @type {Column[]} */
const EARNED = [
  { name: "Revenue", kind: "amount", value: ({ revenue = "0" }) => revenue },
  { name: "Margin", kind: "amount", value: ({ cashflow = "0" }) => cashflow, marksLosses: true },
  {
    name: "Margin %",
    kind: "words",
    value: ({ revenue = "0", cashflow = "0" }) => (revenue === "0" ? "" : percent(share(cashflow, revenue))),
  },
];

/** @type {Column[]} */
const OF_CUSTOMERS = [
  { name: "Customers", kind: "count", value: ({ activeUserByEvent = "0" }) => activeUserByEvent },
  { name: "Cost per customer", kind: "amount", value: ({ costPerUser = "0" }) => costPerUser },
];

/**
 * @param {{
 *   view: View,
 *   dimension: Dimension,
 *   order?: string,
 *   answer: any,
 *   before: any,
 *   signedIn: boolean,
 *   onChange: (change: Partial<View>) => void,
 * }} props
 */
export function Ranking({ view, dimension, order = "costs desc", answer, before, signedIn, onChange }) {
  const groups = /** @type {any[]} */ (answer.groups ?? []);
  const name = DIMENSIONS[dimension].name;
  const now = new Date();
  const was = costsOf(before);
  if (groups.length === 0) return html`<${Empty} isFiltered=${isFiltered(view)} signedIn=${signedIn} />`;
  const columns = columnsOf(dimension, answer.totals.costs);
  const isWhole = !groups.some((group) => group.others && BigInt(group.members ?? "0") > 0n);
  return html`
    <${Table}
      label=${labelOf(`${name} ranking`, view, now)}
      focus=${focusRequest(view, now)}
      whole=${isWhole ? undefined : wholeRanking(view, dimension, order, answer, now)}
    >
      <thead>
        <tr>
          <th scope="col">${name}</th>
          ${columns.map((column) => html`<th scope="col">${column.name}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${groups.map(
          (group) => html`
            <tr key=${group.others ? "others" : `value ${group.value} ${group.customerId}`}>
              <th scope="row" data-plain=${group.others ? undefined : group.value || group.customerId || ""}>
                ${group.others
                  ? `All ${count(group.members ?? "0")} others`
                  : html`<${ViewLink} view=${chosen(view, dimension, group)} onChange=${onChange}>
                      <bdi title=${group.customerId ?? ""}>${shown(group.value || group.customerId || "", dimension)}</bdi>
                    <//>`}
              </th>
              ${cells(columns, group.totals, group.others ? null : was(group.value ?? ""))}
            </tr>
          `,
        )}
      </tbody>
      <tfoot>
        <tr>
          <th scope="row">Total</th>
          ${cells(columns, answer.totals, before.totals.costs)}
        </tr>
      </tfoot>
    <//>
  `;
}

/**
 * @param {Column[]} columns
 * @param {Totals} totals
 * @param {string | null} was the costs before
 */
function cells(columns, totals, was) {
  return columns.map(({ kind, value, marksLosses }) => {
    const text = value(totals, was);
    if (kind === "count") return html`<td data-plain=${text}>${count(text)}</td>`;
    if (kind === "words") return html`<td>${text}</td>`;
    return html`<td class=${marksLosses && text.startsWith("-") ? "loss" : ""}><${Amount} cents=${text} /></td>`;
  });
}

/** The totals of everything that are the sums of those of groups. */
const SUMS = ["costs", "events", "revenue", "cashflow"];

/**
 * The whole ranking as CSV, of which the page shows the first groups: all that it names, what belongs
 * to none of these, and the total.
 * @param {View} view
 * @param {Dimension} dimension
 * @param {string} order
 * @param {any} answer that of the page, for what is no sum
 * @param {Date} now
 * @returns {import("./downloads.js").Whole}
 */
function wholeRanking(view, dimension, order, answer, now) {
  return async (signal, received) => {
    const [ranked, compared] = /** @type {[object, object]} */ (
      rankingQuestions(view, dimension, order, now).map(({ request }) => request)
    );
    /** @type {Map<string, string>} */
    const was = new Map();
    for await (const { name, totals } of everyGroup(compared, signal, received)) {
      if (name !== null) was.set(name, totals["costs"] ?? "0");
    }
    /** @type {{ name: string | null, totals: Totals }[]} */
    const groups = [];
    for await (const group of everyGroup(ranked, signal, received)) groups.push(group);
    const sums = SUMS.filter((slug) => slug in (groups[0]?.totals ?? {})).map((slug) => [
      slug,
      sum(groups.map(({ totals }) => totals[slug] ?? "0")),
    ]);
    const whole = { ...answer.totals, ...Object.fromEntries(sums) };
    const columns = columnsOf(dimension, whole.costs);
    /** @param {string} name @param {Totals} totals @param {string | null} before */
    const line = (name, totals, before) =>
      csvLine([
        name,
        ...columns.map(({ kind, value }) => {
          const text = value(totals, before);
          return kind === "amount" ? plainDollars(text) : text;
        }),
      ]);
    const head = [
      DIMENSIONS[dimension].name,
      ...columns.map(({ name, kind }) => (kind === "amount" ? `${name} (USD)` : name)),
    ];
    return [
      csvLine(head),
      ...groups.map(({ name, totals }) => line(name ?? "Others", totals, name === null ? null : (was.get(name) ?? "0"))),
      line("Total", whole, sum([...was.values()])),
    ];
  };
}
/**
 * The totals of every group of a question; the name of the others is null.
 * @param {object} question
 * @param {AbortSignal} signal
 * @param {(bytes: number) => void} received
 * @returns {AsyncGenerator<{ name: string | null, totals: Totals }>}
 */
async function* everyGroup(question, signal, received) {
  const { groupsMax, ...metrics } = /** @type {Record<string, unknown>} */ (question);
  const request = { metrics, totals: true, format: "EXPORT_FORMAT_JSON_LINES" };
  for await (const { rows } of stream("MetricsService/ExportMetrics", request, signal)) {
    received(new Blob([rows]).size);
    for (const line of rows.trimEnd().split("\n")) {
      const { group, others, ...totals } = JSON.parse(line);
      yield { name: others ? null : group, totals: named(totals) };
    }
  }
}

/**
 * Totals by the names that the JSON of an answer has.
 * @param {Record<string, string | number>} totals by slugs
 * @returns {Totals}
 */
function named(totals) {
  return Object.fromEntries(
    Object.entries(totals).map(([slug, value]) => [
      slug.replace(/_(.)/g, (_, letter) => letter.toUpperCase()),
      String(value),
    ]),
  );
}

/**
 * One group alone: the page of a customer, or the overview of what passes the filter.
 * @param {View} view
 * @param {Dimension} dimension
 * @param {any} group
 * @returns {View}
 */
export function chosen(view, dimension, group) {
  const value = group.value || group.customerId || "";
  if (dimension === "customer") return customerView(view, value);
  return { ...view, page: "overview", filters: { ...view.filters, [dimension]: [value] } };
}

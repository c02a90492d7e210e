// A table of groups, the first in some order first, with their shares and changes.

import { metricsQuestion } from "./api.js";
import { Table } from "./downloads.js";
import { Empty } from "./empty.js";
import { html } from "./html.js";
import { change, count, percent, quotient, share } from "./money.js";
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
 * @returns {(value: string) => string | null}
 */
export function costsOf(answer) {
  /** @type {Map<string, string>} */
  const costs = new Map();
  let rest = /** @type {string | null} */ ("0");
  for (const group of answer.groups ?? []) {
    if (group.others) rest = BigInt(group.members ?? "0") > 0n ? null : rest;
    else costs.set(group.value ?? "", group.totals.costs);
  }
  return (value) => costs.get(value) ?? rest;
}

/**
 * @param {{
 *   view: View,
 *   dimension: Dimension,
 *   answer: any,
 *   before: any,
 *   signedIn: boolean,
 *   onChange: (change: Partial<View>) => void,
 * }} props
 */
export function Ranking({ view, dimension, answer, before, signedIn, onChange }) {
  const groups = /** @type {any[]} */ (answer.groups ?? []);
  const name = DIMENSIONS[dimension].name;
  const earns = EARNING.has(dimension);
  const now = new Date();
  const was = costsOf(before);
  if (groups.length === 0) return html`<${Empty} isFiltered=${isFiltered(view)} signedIn=${signedIn} />`;
  return html`
    <${Table} label=${labelOf(`${name} ranking`, view, now)} focus=${focusRequest(view, now)}>
      <thead>
        <tr>
          <th scope="col">${name}</th>
          <th scope="col">Costs</th>
          <th scope="col">Share</th>
          <th scope="col">Change</th>
          ${dimension !== "customer" && html`<th scope="col">Events</th><th scope="col">Per event</th>`}
          ${earns
            ? html`<th scope="col">Revenue</th><th scope="col">Margin</th><th scope="col">Margin %</th>`
            : html`<th scope="col">Customers</th><th scope="col">Cost per customer</th>`}
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
                      <bdi title=${group.customerId ?? ""}>${shown(group.value || group.customerId || "")}</bdi>
                    <//>`}
              </th>
              ${cells(group.totals, answer.totals, earns, group.others ? null : was(group.value ?? ""))}
            </tr>
          `,
        )}
      </tbody>
      <tfoot>
        <tr>
          <th scope="row">Total</th>
          ${cells(answer.totals, answer.totals, earns, before.totals.costs)}
        </tr>
      </tfoot>
    <//>
  `;
}

/**
 * @param {any} totals
 * @param {any} whole
 * @param {boolean} earns
 * @param {string | null} was the costs before
 */
function cells(totals, whole, earns, was) {
  return html`
    <td><${Amount} cents=${totals.costs} /></td>
    <td>${percent(share(totals.costs, whole.costs))}</td>
    <td>${was === null ? "" : change(totals.costs, was).words}</td>
    ${totals.events !== undefined &&
    html`
      <td data-plain=${totals.events}>${count(totals.events)}</td>
      <td><${Amount} cents=${quotient(totals.costs, totals.events)} /></td>
    `}
    ${earns
      ? html`
          <td><${Amount} cents=${totals.revenue} /></td>
          <td class=${totals.cashflow.startsWith("-") ? "loss" : ""}><${Amount} cents=${totals.cashflow} /></td>
          <td>${totals.revenue === "0" ? "" : percent(share(totals.cashflow, totals.revenue))}</td>
        `
      : html`
          <td data-plain=${totals.activeUserByEvent}>${count(totals.activeUserByEvent)}</td>
          <td><${Amount} cents=${totals.costPerUser} /></td>
        `}
  `;
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

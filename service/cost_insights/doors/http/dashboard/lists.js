// Lists of what is stored: events, orders, refunds and subscriptions.

import { Table } from "./downloads.js";
import { html } from "./html.js";
import { plainDollars } from "./money.js";
import { Amount, ViewLink } from "./parts.js";
import { customerView } from "./state.js";

/** @typedef {import("./state.js").View} View */
/** @typedef {(change: Partial<View>) => void} OnChange */

/** Formats of times by their zones. @type {Map<string, Intl.DateTimeFormat>} */
const FORMATS = new Map();

/**
 * A time in a time zone to the second; the exact one is shown on hover.
 * @param {{ time: string | undefined, zone: string }} props `time` as JSON has it
 */
export function Time({ time, zone }) {
  if (time === undefined) return null;
  return html`<time datetime=${time} title=${time}>${localTime(time, zone)}</time>`;
}

/**
 * Such as `2026-11-27 14:05:09`.
 * @param {string} time
 * @param {string} zone
 */
function localTime(time, zone) {
  let format = FORMATS.get(zone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short", timeStyle: "medium" });
    FORMATS.set(zone, format);
  }
  return format.format(new Date(time));
}

/** @typedef {{
 *   name: string,
 *   isText?: boolean,
 *   cell: (item: any) => any,
 *   plain?: (item: any) => string,
 * }} Column what its cells show, and how a file of the table says it, if that is not the same
 */

/**
 * A table of things, one a row; the first column names it. Below them is what they come to.
 * @param {{
 *   label: string,
 *   columns: Column[],
 *   items: any[],
 *   keyOf: (item: any) => string,
 *   total?: any,
 * }} props
 */
export function List({ label, columns, items, keyOf, total }) {
  const [first, ...others] = columns;
  /** @param {any} item */
  const cells = (item) => html`
    <th scope="row" data-plain=${first?.plain?.(item)}>${first?.cell(item)}</th>
    ${others.map(
      ({ isText, cell, plain }) => html`<td class=${isText ? "text" : ""} data-plain=${plain?.(item)}>${cell(item)}</td>`,
    )}
  `;
  return html`
    <${Table} label=${label}>
      <thead>
        <tr>${columns.map(({ name, isText }) => html`<th scope="col" class=${isText ? "text" : ""}>${name}</th>`)}</tr>
      </thead>
      <tbody>
        ${items.map((item) => html`<tr key=${keyOf(item)}>${cells(item)}</tr>`)}
      </tbody>
      ${total && html`<tfoot><tr>${cells(total)}</tr></tfoot>`}
    <//>
  `;
}

/**
 * A list below a heading; in its place, why it is not shown or that there is nothing in it.
 * @param {{
 *   name: string,
 *   answer: any,
 *   field: string,
 *   columns: Column[],
 *   keyOf: (item: any) => string,
 * }} props `field` is that of the answer, to an optional question
 */
export function Section({ name, answer, field, columns, keyOf }) {
  const items = /** @type {any[]} */ (answer[field] ?? []);
  return html`
    <section aria-label=${name}>
      <h2>${name}</h2>
      ${answer.denied && html`<p class="note">Not shown: ${answer.denied}</p>`}
      ${!answer.denied && items.length === 0 && html`<p class="note">None.</p>`}
      ${items.length > 0 && html`<${List} label=${`${name}, the latest first`} columns=${columns} items=${items} keyOf=${keyOf} />`}
    </section>
  `;
}

/**
 * The columns of events; their times lead to all of an event.
 * @param {View} view
 * @param {OnChange} onChange
 * @returns {Column[]}
 */
export function eventColumns(view, onChange) {
  return [
    {
      name: "Time",
      cell: (event) => html`
        <${ViewLink} view=${{ ...view, page: "event", id: event.id }} onChange=${onChange}>
          <${Time} time=${event.timestamp} zone=${view.zone} />
        <//>
      `,
      plain: (event) => event.timestamp,
    },
    { name: "Name", isText: true, cell: (event) => html`<bdi>${event.name}</bdi>` },
    customerColumn(view, onChange),
    { name: "Cost", cell: (event) => event.cost && html`<${Amount} cents=${event.cost.amount} />` },
    { name: "Model", isText: true, cell: (event) => html`<bdi>${event.llm?.model ?? ""}</bdi>` },
    productColumn,
  ];
}

/**
 * The columns of orders.
 * @param {View} view
 * @returns {Column[]}
 */
export function orderColumns(view) {
  return [
    timeColumn("Time", view, (order) => order.createdTime),
    { name: "Order", isText: true, cell: (order) => html`<bdi>${order.orderId}</bdi>` },
    { name: "Amount", cell: (order) => html`<${Money} money=${order.netAmount} />` },
    { name: "Subscription", isText: true, cell: (order) => html`<bdi>${order.subscriptionId ?? ""}</bdi>` },
    productColumn,
  ];
}

/** The kinds of refunds in words. @type {Record<string, string>} */
const REFUNDS = {
  REFUND_KIND_REFUND: "Refund",
  REFUND_KIND_REFUND_REVERSAL: "Reversed refund",
  REFUND_KIND_DISPUTE: "Dispute",
  REFUND_KIND_DISPUTE_REVERSAL: "Reversed dispute",
};

/**
 * The columns of refunds and disputes.
 * @param {View} view
 * @returns {Column[]}
 */
export function refundColumns(view) {
  return [
    timeColumn("Time", view, (refund) => refund.createdTime),
    { name: "Kind", isText: true, cell: (refund) => REFUNDS[refund.kind] ?? "" },
    { name: "Order", isText: true, cell: (refund) => html`<bdi>${refund.orderId}</bdi>` },
    { name: "Amount", cell: (refund) => html`<${Money} money=${refund.amount} />` },
  ];
}

/** The lengths of time after which subscriptions are paid again. @type {Record<string, string>} */
const INTERVALS = {
  RECURRING_INTERVAL_DAY: "day",
  RECURRING_INTERVAL_WEEK: "week",
  RECURRING_INTERVAL_MONTH: "month",
  RECURRING_INTERVAL_YEAR: "year",
};

/**
 * The columns of subscriptions.
 * @param {View} view
 * @param {OnChange} onChange
 * @returns {Column[]}
 */
export function subscriptionColumns(view, onChange) {
  return [
    timeColumn("Started", view, (one) => one.startedTime),
    { name: "Subscription", isText: true, cell: (one) => html`<bdi>${one.subscriptionId}</bdi>` },
    customerColumn(view, onChange),
    { name: "Amount", cell: (one) => html`<${Money} money=${one.amount} />` },
    {
      name: "Every",
      isText: true,
      cell: ({ recurringInterval, recurringIntervalCount = 1 }) => {
        const interval = INTERVALS[recurringInterval] ?? "";
        return recurringIntervalCount === 1 ? interval : `${recurringIntervalCount} ${interval}s`;
      },
    },
    timeColumn("Canceled", view, (one) => one.canceledTime),
    timeColumn("End", view, (one) => one.endedTime ?? one.endsTime),
    productColumn,
  ];
}

/**
 * @param {string} name
 * @param {View} view
 * @param {(item: any) => string | undefined} timeOf
 * @returns {Column}
 */
function timeColumn(name, view, timeOf) {
  return {
    name,
    cell: (item) => html`<${Time} time=${timeOf(item)} zone=${view.zone} />`,
    plain: (item) => timeOf(item) ?? "",
  };
}

/**
 * The customers of what is stored, by the identifiers of callers; each leads to its page.
 * @param {View} view
 * @param {OnChange} onChange
 * @returns {Column}
 */
function customerColumn(view, onChange) {
  return {
    name: "Customer",
    isText: true,
    cell: ({ externalCustomerId, customerId = "" }) => {
      const id = externalCustomerId || customerId;
      return html`
        <${ViewLink} view=${customerView(view, id)} onChange=${onChange}><bdi title=${customerId}>${id}</bdi><//>
      `;
    },
  };
}

/** @type {Column} */
const productColumn = {
  name: "Product",
  isText: true,
  cell: ({ productId }) => html`<bdi>${productId ?? ""}</bdi>`,
};

/**
 * An amount of any currency, in main units.
 * @param {{ money: { amount: string, currency: string } }} props
 */
function Money({ money: { amount, currency } }) {
  if (currency.toLowerCase() === "usd") return html`<${Amount} cents=${amount} />`;
  const plain = plainDollars(amount);
  const name = currency.toUpperCase();
  return html`<span class="amount" data-plain=${plain} data-currency=${name}>${plain} ${name}</span>`;
}

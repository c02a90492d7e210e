// Lists of what is stored: events, and parts that lists of other things share.

import { Table } from "./downloads.js";
import { html } from "./html.js";
import { Amount, ViewLink } from "./parts.js";

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
export function localTime(time, zone) {
  let format = FORMATS.get(zone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short", timeStyle: "medium" });
    FORMATS.set(zone, format);
  }
  return format.format(new Date(time));
}

/**
 * The customer of something that is stored, by the identifier of the caller.
 * @param {{ of: { externalCustomerId?: string, customerId?: string } }} props
 */
export function Customer({ of }) {
  return html`<bdi title=${of.customerId ?? ""}>${of.externalCustomerId || of.customerId || ""}</bdi>`;
}

/**
 * Events, each with a link to all of it.
 * @param {{ label: string, events: any[], view: View, onChange: OnChange }} props
 */
export function EventTable({ label, events, view, onChange }) {
  return html`
    <${Table} label=${label}>
      <thead>
        <tr>
          <th scope="col">Time</th>
          <th scope="col" class="text">Name</th>
          <th scope="col" class="text">Customer</th>
          <th scope="col">Cost</th>
          <th scope="col" class="text">Model</th>
          <th scope="col" class="text">Product</th>
        </tr>
      </thead>
      <tbody>
        ${events.map(
          (event) => html`
            <tr key=${event.id}>
              <th scope="row" data-plain=${event.timestamp}>
                <${ViewLink} view=${{ ...view, page: "event", id: event.id }} onChange=${onChange}>
                  <${Time} time=${event.timestamp} zone=${view.zone} />
                <//>
              </th>
              <td class="text"><bdi>${event.name}</bdi></td>
              <td class="text"><${Customer} of=${event} /></td>
              <td>${event.cost && html`<${Amount} cents=${event.cost.amount} />`}</td>
              <td class="text"><bdi>${event.llm?.model ?? ""}</bdi></td>
              <td class="text"><bdi>${event.productId ?? ""}</bdi></td>
            </tr>
          `,
        )}
      </tbody>
    <//>
  `;
}

// The latest events, as they come in.

import { Empty } from "../empty.js";
import { html } from "../html.js";
import { List, eventColumns } from "../lists.js";
import { ViewLink } from "../parts.js";
import { boundsOf, daysOf, filtersOf, isFiltered, labelOf, membersOf } from "../state.js";

/** @typedef {import("../state.js").View} View */

const EVENTS_MAX = 50;

/** @type {import("../app.js").Tools} */
export const tools = { hasMetadata: true, hasInterval: false };

/**
 * The question of the page: one page of the list.
 * @param {View} view
 * @param {Date} now
 * @returns {import("../api.js").Question[]}
 */
export function questions(view, now) {
  const request = {
    ...boundsOf(daysOf(view, now), view.zone),
    ...filtersOf(view),
    ...membersOf(view),
    pageSize: EVENTS_MAX,
    pageToken: view.after,
  };
  return [{ rpc: "EventService/ListEvents", request }];
}

/**
 * @param {import("../app.js").PageProps} props
 */
export function Page({ view, answers, signedIn, onChange }) {
  const [answer] = answers;
  const events = /** @type {any[]} */ (answer.events ?? []);
  const now = new Date();
  const days = daysOf(view, now);
  if (events.length === 0) {
    return html`<${Empty} isFiltered=${isFiltered(view)} signedIn=${signedIn} />`;
  }
  // The place of a page in a list holds for the days of that list alone, whenever it is returned to.
  const older = { ...view, span: "custom", from: days.start, to: days.end, after: answer.nextPageToken };
  return html`
    <p class="note" role="status">
      ${view.after === "" ? "The latest events; new ones appear by themselves." : "Earlier events."}
    </p>
    <${List}
      label=${labelOf("Events", view, now)}
      columns=${eventColumns(view, onChange)}
      items=${events}
      keyOf=${(/** @type {any} */ event) => event.id}
    />
    <nav class="paging" aria-label="Pages of the list">
      ${view.after !== "" && html`<${ViewLink} view=${{ ...view, after: "" }} onChange=${onChange}>Latest<//>`}
      ${answer.nextPageToken && html`<${ViewLink} view=${older} onChange=${onChange}>Older<//>`}
    </nav>
  `;
}

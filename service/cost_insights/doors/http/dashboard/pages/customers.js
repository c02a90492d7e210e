// Customers, by what they cost and earn.

import { html } from "../html.js";
import { Ranking, rankingQuestions } from "../ranking.js";
import { ORDERS } from "../state.js";

/** @typedef {import("../state.js").View} View */

/**
 * The questions of the page.
 * @param {View} view
 * @param {Date} now
 * @returns {import("../api.js").Question[]}
 */
export function questions(view, now) {
  return rankingQuestions(view, "customer", ORDERS[view.order]?.rpc ?? "", now);
}

/**
 * @param {import("../app.js").PageProps} props
 */
export function Page({ view, answers, onChange }) {
  const [answer, before] = answers;
  return html`
    <div class="choices" role="group" aria-label="Order">
      ${Object.entries(ORDERS).map(
        ([order, { name }]) => html`
          <button type="button" key=${order} aria-pressed=${String(order === view.order)} onClick=${() => onChange({ order })}>
            ${name}
          </button>
        `,
      )}
    </div>
    <p class="note">To find a customer, add a filter with either of its identifiers. Each name leads to a page of its own.</p>
    <${Ranking} view=${view} dimension="customer" answer=${answer} before=${before} onChange=${onChange} />
  `;
}

// The chart of revenue and costs, with the margin between them.

import { Chart, course, timesOf } from "./charts.js";
import { html } from "./html.js";
import { daysOf, focusRequest, intervalOf, labelOf } from "./state.js";

/**
 * @param {{ view: import("./state.js").View, answer: any }} props an answer with `revenue`, `costs`
 *   and `cashflow`
 */
export function MarginChart({ view, answer }) {
  const periods = /** @type {any[]} */ (answer.periods ?? []);
  const now = new Date();
  return html`
    <${Chart}
      label=${labelOf("Revenue and costs", view, now)}
      zone=${view.zone}
      ...${timesOf(periods, intervalOf(view, daysOf(view, now)))}
      series=${[
        { name: "Revenue", color: "revenue", ...course(periods, "revenue") },
        { name: "Costs", color: "costs", ...course(periods, "costs") },
      ]}
      total=${{ name: "Margin", ...course(periods, "cashflow") }}
      focus=${focusRequest(view, now)}
    />
  `;
}

// Costs by event name, vendor, model or product.

import { metricsQuestion } from "../api.js";
import { Chart, course, timesOf } from "../charts.js";
import { html } from "../html.js";
import { bySize, change, difference } from "../money.js";
import { Amount, ViewLink, shown } from "../parts.js";
import { Ranking, chosen, costsOf, rankingQuestions } from "../ranking.js";
import { BREAKDOWNS, DIMENSIONS, daysOf, focusRequest, intervalOf, labelOf, requestOf } from "../state.js";

/** @typedef {import("../state.js").View} View */

const DRAWN_MAX = 6;
const MOVERS_MAX = 6;

/**
 * The questions of the page: those of the table, and the courses of the largest groups.
 * @param {View} view
 * @param {Date} now
 * @returns {import("../api.js").Question[]}
 */
export function questions(view, now) {
  const days = daysOf(view, now);
  return [
    ...rankingQuestions(view, view.by, "costs desc", now),
    metricsQuestion({
      ...requestOf(view, days, intervalOf(view, days)),
      metrics: ["costs"],
      groupBy: DIMENSIONS[view.by].group,
      groupsMax: DRAWN_MAX,
    }),
  ];
}

/**
 * @param {import("../app.js").PageProps} props
 */
export function Page({ view, answers, signedIn, onChange }) {
  const [answer, before, drawn] = answers;
  const now = new Date();
  const days = daysOf(view, now);
  const groups = /** @type {any[]} */ (drawn.groups ?? []);
  const name = DIMENSIONS[view.by].name;
  return html`
    <div class="choices" role="group" aria-label="Break down by">
      ${BREAKDOWNS.map(
        (by) => html`
          <button type="button" key=${by} aria-pressed=${String(by === view.by)} onClick=${() => onChange({ by })}>
            ${DIMENSIONS[by].name}
          </button>
        `,
      )}
    </div>
    ${groups.length > 0 &&
    html`
      <${Chart}
        key=${view.by}
        label=${labelOf(`Costs by ${name.toLowerCase()}`, view, now)}
        zone=${view.zone}
        ...${timesOf(drawn.periods, intervalOf(view, days))}
        series=${groups.map((group, place) => ({
          name: group.others ? "All others" : shown(group.value ?? "", view.by),
          color: `series-${place + 1}`,
          ...course(group.periods, "costs"),
        }))}
        total=${{ name: "Total", ...course(drawn.periods, "costs") }}
        focus=${focusRequest(view, now)}
        isStacked
      />
      <${Movers} view=${view} answer=${answer} before=${before} onChange=${onChange} />
    `}
    <${Ranking}
      view=${view}
      dimension=${view.by}
      answer=${answer}
      before=${before}
      signedIn=${signedIn}
      onChange=${onChange}
    />
  `;
}

/**
 * The groups whose costs have changed most.
 * @param {{ view: View, answer: any, before: any, onChange: (change: Partial<View>) => void }} props
 */
function Movers({ view, answer, before, onChange }) {
  const was = costsOf(before);
  const is = costsOf(answer);
  const groups = [...(answer.groups ?? []), ...(before.groups ?? [])].filter((group) => !group.others);
  const values = /** @type {string[]} */ ([...new Set(groups.map((group) => group.value ?? ""))]);
  const movers = values
    .flatMap((value) => {
      const [now, earlier] = [is(value), was(value)];
      if (now === null || earlier === null) return [];
      return [{ value, now, earlier, moved: difference(now, earlier) }];
    })
    .filter(({ moved }) => moved !== "0")
    .sort((one, other) => bySize(one.moved, other.moved))
    .slice(0, MOVERS_MAX);
  if (movers.length === 0) return null;
  return html`
    <section aria-labelledby="movers">
      <h2 id="movers">Largest changes of costs</h2>
      <ul class="movers">
        ${movers.map(
          ({ value, now, earlier, moved }) => html`
            <li key=${value}>
              <${ViewLink} view=${chosen(view, view.by, { value })} onChange=${onChange}><bdi>${shown(value, view.by)}</bdi><//>
              <span class=${moved.startsWith("-") ? "change good" : "change bad"}>
                ${moved.startsWith("-") ? "▼" : "▲"} <${Amount} cents=${moved} /> (${change(now, earlier).words})
              </span>
            </li>
          `,
        )}
      </ul>
    </section>
  `;
}

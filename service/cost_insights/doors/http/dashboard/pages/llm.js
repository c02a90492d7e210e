// Calls of large language models: what each model costs, its tokens, and what 1,000 of them cost.

import { metricsQuestion } from "../api.js";
import { Chart, course, timesOf } from "../charts.js";
import { Empty } from "../empty.js";
import { html } from "../html.js";
import { List } from "../lists.js";
import { change, count, difference, percent, quotient, share, sum } from "../money.js";
import { Amount, ViewLink } from "../parts.js";
import { chosen, costsOf, totalsOf } from "../ranking.js";
import { daysBefore, daysOf, intervalOf, isFiltered, labelOf, requestOf } from "../state.js";

/** @typedef {import("../state.js").View} View */

const MODELS_MAX = 200;
const COMPARED_MAX = 1_000;
const DRAWN_MAX = 6;

/** The metrics of tokens, as fields of answers. */
const TOKENS = ["inputTokens", "cachedInputTokens", "outputTokens", "totalTokens"];

/**
 * The questions of the page: the models of the span, and those of the one before it.
 * @param {View} view
 * @param {Date} now
 * @returns {import("../api.js").Question[]}
 */
export function questions(view, now) {
  const days = daysOf(view, now);
  const groupBy = "GROUP_BY_LLM_MODEL";
  return [
    metricsQuestion({
      ...requestOf(view, days, intervalOf(view, days)),
      metrics: [
        "costs",
        "events",
        "active_user_by_event",
        "input_tokens",
        "cached_input_tokens",
        "output_tokens",
        "total_tokens",
      ],
      groupBy,
      groupsMax: MODELS_MAX,
    }),
    metricsQuestion({
      ...requestOf(view, daysBefore(days), "year"),
      metrics: ["costs", "total_tokens"],
      groupBy,
      groupsMax: COMPARED_MAX,
    }),
  ];
}

/**
 * @param {import("../app.js").PageProps} props
 */
export function Page({ view, answers, signedIn, onChange }) {
  const [answer, before] = answers;
  // Events without an LLM call have the empty model, which is among the others at worst where there
  // are more models than are listed.
  const groups = /** @type {any[]} */ (answer.groups ?? []).filter((group) => group.others || group.value);
  if (groups.length === 0) return html`<${Empty} of="llm" isFiltered=${isFiltered(view)} signedIn=${signedIn} />`;
  return html`
    <${Course} view=${view} answer=${answer} groups=${groups} />
    <${Costs} view=${view} groups=${groups} before=${before} onChange=${onChange} />
    <${Tokens} view=${view} groups=${groups} before=${before} />
  `;
}

/**
 * The costs of the most expensive models, on each other.
 * @param {{ view: View, answer: any, groups: any[] }} props
 */
function Course({ view, answer, groups }) {
  const now = new Date();
  const drawn = groups.filter((group) => !group.others).slice(0, DRAWN_MAX);
  const rest = groups.filter((group) => !drawn.includes(group));
  const series = [
    ...drawn.map((group) => ({ name: group.value, ...course(group.periods, "costs") })),
    ...(rest.length > 0 ? [{ name: "All others", ...course(summed(rest), "costs") }] : []),
  ];
  return html`
    <${Chart}
      label=${labelOf("Costs by model", view, now)}
      zone=${view.zone}
      ...${timesOf(answer.periods, intervalOf(view, daysOf(view, now)))}
      series=${series.map((one, place) => ({ ...one, color: `series-${place + 1}` }))}
      total=${{ name: "Total", ...course(summed(groups), "costs") }}
      isStacked
    />
  `;
}

/** @param {any[]} groups @returns {{ costs: string }[]} the costs of all of them in each period */
function summed(groups) {
  const [first] = groups;
  return first.periods.map((/** @type {any} */ _, /** @type {number} */ place) => ({
    costs: sum(groups.map((group) => group.periods[place].costs)),
  }));
}

/**
 * What each model costs.
 * @param {{ view: View, groups: any[], before: any, onChange: (change: Partial<View>) => void }} props
 */
function Costs({ view, groups, before, onChange }) {
  const was = costsOf(before);
  const costs = sum(groups.map((group) => group.totals.costs));
  const without = was("");
  const items = groups.map((group) => ({ ...group, was: group.others ? null : was(group.value) }));
  const total = {
    isTotal: true,
    totals: { costs, events: sum(groups.map((group) => group.totals.events)) },
    was: without === null ? null : difference(before.totals.costs, without),
  };
  return html`
    <${List}
      label=${labelOf("Costs of models", view, new Date())}
      columns=${[
        {
          name: "Model",
          cell: (/** @type {any} */ item) =>
            item.isTotal
              ? "Total"
              : item.others
                ? `All ${count(item.members ?? "0")} others`
                : html`<${ViewLink} view=${chosen(view, "model", item)} onChange=${onChange}><bdi>${item.value}</bdi><//>`,
        },
        { name: "Costs", cell: (/** @type {any} */ item) => html`<${Amount} cents=${item.totals.costs} />` },
        { name: "Share", cell: (/** @type {any} */ item) => percent(share(item.totals.costs, costs)) },
        {
          name: "Change",
          cell: (/** @type {any} */ item) => (item.was === null ? "" : change(item.totals.costs, item.was).words),
        },
        {
          name: "Calls",
          cell: (/** @type {any} */ item) => count(item.totals.events),
          plain: (/** @type {any} */ item) => item.totals.events,
        },
        {
          name: "Per call",
          cell: (/** @type {any} */ { totals }) => html`<${Amount} cents=${quotient(totals.costs, totals.events)} />`,
        },
        {
          name: "Customers",
          cell: (/** @type {any} */ { isTotal, totals }) => (isTotal ? "" : count(totals.activeUserByEvent)),
        },
      ]}
      items=${items}
      keyOf=${(/** @type {any} */ item) => (item.others ? "others" : `value ${item.value}`)}
      total=${total}
    />
  `;
}

/**
 * The tokens of each model, and what 1,000 of them cost.
 * @param {{ view: View, groups: any[], before: any }} props
 */
function Tokens({ view, groups, before }) {
  const [costsWere, tokensWere] = [totalsOf(before, "costs"), totalsOf(before, "totalTokens")];
  const withoutModel = costsWere("");
  /** @param {string} metric */
  const whole = (metric) => sum(groups.map(({ totals }) => totals[metric]));
  const items = groups.map(({ value, others, members, totals }) => ({
    name: others ? `All ${count(members ?? "0")} others` : html`<bdi>${value}</bdi>`,
    key: others ? "others" : `value ${value}`,
    totals,
    price: priceOf(totals.costs, totals.totalTokens),
    tokensWere: others ? null : tokensWere(value),
    priceWas: others ? null : priceOf(costsWere(value), tokensWere(value)),
  }));
  const totals = Object.fromEntries(["costs", ...TOKENS].map((metric) => [metric, whole(metric)]));
  const total = {
    name: "Total",
    totals,
    price: priceOf(totals.costs ?? null, totals.totalTokens ?? null),
    tokensWere: before.totals.totalTokens,
    priceWas: withoutModel && priceOf(difference(before.totals.costs, withoutModel), before.totals.totalTokens),
  };
  /** @param {string} name @param {string} metric @returns {import("../lists.js").Column} */
  const counts = (name, metric) => ({
    name,
    cell: (item) => count(item.totals[metric]),
    plain: (item) => item.totals[metric],
  });
  return html`
    <${List}
      label=${labelOf("Tokens of models", view, new Date())}
      columns=${[
        { name: "Model", cell: (/** @type {any} */ item) => item.name },
        counts("Input tokens", "inputTokens"),
        {
          name: "Cached share",
          cell: (/** @type {any} */ item) => percent(share(item.totals.cachedInputTokens, item.totals.inputTokens)),
        },
        counts("Output tokens", "outputTokens"),
        counts("Tokens", "totalTokens"),
        {
          name: "Change",
          cell: (/** @type {any} */ { totals: { totalTokens }, tokensWere }) =>
            tokensWere === null ? "" : change(totalTokens, tokensWere).words,
        },
        {
          name: "Per 1,000 tokens",
          cell: (/** @type {any} */ { price }) => (price === null ? "" : html`<${Amount} cents=${price} />`),
        },
        {
          name: "Change of price",
          cell: (/** @type {any} */ { price, priceWas }) =>
            price === null || priceWas === null ? "" : change(price, priceWas).words,
        },
      ]}
      items=${items}
      keyOf=${(/** @type {any} */ item) => item.key}
      total=${total}
    />
  `;
}

/**
 * The costs of 1,000 tokens; null where there are none, or where they are not known.
 * @param {string | null} costs
 * @param {string | null} tokens
 */
function priceOf(costs, tokens) {
  return costs === null || tokens === null || tokens === "0" ? null : quotient(costs, tokens, 1_000n);
}

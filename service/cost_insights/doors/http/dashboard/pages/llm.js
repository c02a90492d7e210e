// Calls of large language models: what each model costs, and the tokens of the latest calls.

import { metricsQuestion } from "../api.js";
import { Chart, course, timesOf } from "../charts.js";
import { Empty } from "../empty.js";
import { html } from "../html.js";
import { List } from "../lists.js";
import { change, count, difference, percent, quotient, share, sum } from "../money.js";
import { Amount, ViewLink } from "../parts.js";
import { chosen, costsOf } from "../ranking.js";
import { boundsOf, customersOf, daysBefore, daysOf, intervalOf, isFiltered, labelOf, requestOf } from "../state.js";

/** @typedef {import("../state.js").View} View */

const MODELS_MAX = 200;
const COMPARED_MAX = 1_000;
const DRAWN_MAX = 6;
const SAMPLE_MAX = 100;

/**
 * The questions of the page. Sums of tokens are not among the metrics of the service, so the tokens
 * are those of the latest events.
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
      metrics: ["costs", "events", "active_user_by_event"],
      groupBy,
      groupsMax: MODELS_MAX,
    }),
    metricsQuestion({
      ...requestOf(view, daysBefore(days), "year"),
      metrics: ["costs"],
      groupBy,
      groupsMax: COMPARED_MAX,
    }),
    {
      rpc: "EventService/ListEvents",
      request: {
        ...boundsOf(days, view.zone),
        ...customersOf(view),
        eventNames: view.filters.event,
        pageSize: SAMPLE_MAX,
      },
      isOptional: true,
    },
  ];
}

/**
 * @param {import("../app.js").PageProps} props
 */
export function Page({ view, answers, signedIn, onChange }) {
  const [answer, before, sample] = answers;
  // Events without an LLM call have the empty model, which is among the others at worst where there
  // are more models than are listed.
  const groups = /** @type {any[]} */ (answer.groups ?? []).filter((group) => group.others || group.value);
  if (groups.length === 0) return html`<${Empty} of="llm" isFiltered=${isFiltered(view)} signedIn=${signedIn} />`;
  return html`
    <${Course} view=${view} answer=${answer} groups=${groups} />
    <${Costs} view=${view} groups=${groups} before=${before} onChange=${onChange} />
    <${Tokens} view=${view} sample=${sample} />
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
 * The tokens and costs of some calls of one model. Amounts and counts are texts.
 * @typedef {{ model: string, calls: string, input: string, cached: string, output: string, all: string, cost: string }} Use
 */

/**
 * The tokens of the latest calls, by model, with what they cost.
 * @param {{ view: View, sample: any }} props
 */
function Tokens({ view, sample }) {
  const name = "Tokens of the latest calls";
  if (sample.denied) {
    return html`<section aria-label=${name}><h2>${name}</h2><p class="note">Not shown: ${sample.denied}</p></section>`;
  }
  const { vendor, model, product } = view.filters;
  const calls = /** @type {any[]} */ (sample.events ?? []).filter(
    ({ llm, productId = "" }) =>
      llm !== undefined && passes(vendor, llm.vendor) && passes(model, llm.model) && passes(product, productId),
  );
  const uses = usesOf(calls);
  const columns = [
    { name: "Model", cell: (/** @type {Use} */ use) => html`<bdi>${use.model}</bdi>` },
    { name: "Calls", cell: (/** @type {Use} */ use) => count(use.calls) },
    { name: "Input tokens", cell: (/** @type {Use} */ use) => count(use.input) },
    { name: "Cached share", cell: (/** @type {Use} */ use) => percent(share(use.cached, use.input)) },
    { name: "Output tokens", cell: (/** @type {Use} */ use) => count(use.output) },
    { name: "Costs", cell: (/** @type {Use} */ use) => html`<${Amount} cents=${use.cost} />` },
    {
      name: "Per call",
      cell: (/** @type {Use} */ use) => html`<${Amount} cents=${quotient(use.cost, use.calls)} />`,
    },
    {
      name: "Per 1,000 tokens",
      cell: (/** @type {Use} */ use) => (use.all === "0" ? "" : html`<${Amount} cents=${quotient(use.cost, use.all, 1_000n)} />`),
    },
  ];
  return html`
    <section aria-label=${name}>
      <h2>${name}</h2>
      <p class="note">
        ${calls.length === 0
          ? "There is no LLM call among the latest events."
          : `Of ${count(String(calls.length))} calls among the latest ${SAMPLE_MAX} events, not of the whole span.`}
      </p>
      ${uses.length > 0 &&
      html`
        <${List}
          label=${`${name}, by model`}
          columns=${columns}
          items=${uses}
          keyOf=${(/** @type {Use} */ use) => use.model}
          total=${useOf("Total", calls)}
        />
      `}
    </section>
  `;
}

/** @param {string[]} values @param {string} value whether it passes a filter by values */
function passes(values, value) {
  return values.length === 0 || values.includes(value);
}

/** @param {any[]} calls @returns {Use[]} those of each model, in the order in which models were called last */
function usesOf(calls) {
  const models = /** @type {string[]} */ ([...new Set(calls.map(({ llm }) => llm.model))]);
  return models.map((model) =>
    useOf(
      model,
      calls.filter(({ llm }) => llm.model === model),
    ),
  );
}

/** @param {string} model @param {any[]} calls @returns {Use} */
function useOf(model, calls) {
  /** @param {string} field */
  const tokens = (field) => sum(calls.map(({ llm }) => llm[field] ?? "0"));
  const all = calls.map(({ llm: { totalTokens = "0", inputTokens = "0", outputTokens = "0" } }) =>
    // A call that says no total has at least what it says of its parts.
    totalTokens === "0" ? sum([inputTokens, outputTokens]) : totalTokens,
  );
  return {
    model,
    calls: String(calls.length),
    input: tokens("inputTokens"),
    cached: tokens("cachedInputTokens"),
    output: tokens("outputTokens"),
    all: sum(all),
    cost: sum(calls.map(({ cost }) => cost?.amount ?? "0")),
  };
}

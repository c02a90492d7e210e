// The choice of what a page shows: span, interval, time zone and filters.

import { call } from "./api.js";
import { Component, html } from "./html.js";
import { ViewLink, shown } from "./parts.js";
import {
  DIMENSIONS,
  DIMENSION_NAMES,
  INTERVALS,
  SPANS,
  customerView,
  daysOf,
  isSame,
  isZone,
  requestOf,
} from "./state.js";

/** @typedef {import("./state.js").View} View */
/** @typedef {import("./state.js").Dimension} Dimension */

/** What a filter is about. @typedef {Dimension | "metadata"} Subject */

const SUGGESTIONS_MAX = 100;

const ZONES = ["UTC", ...Intl.supportedValuesOf("timeZone")];

/**
 * @typedef {{
 *   view: View,
 *   dimensions: Dimension[],
 *   hasMetadata: boolean,
 *   hasSpan: boolean,
 *   hasInterval: boolean,
 *   onChange: (change: Partial<View>) => void,
 * }} Props `dimensions` are those whose filters count on the page, and `hasMetadata` whether those by
 *   metadata do
 * @typedef {{
 *   subject: Subject,
 *   key: string,
 *   text: string,
 *   suggestions: string[],
 *   zoneError: string,
 * }} State
 * @extends {Component<Props, State>}
 */
export class Toolbar extends Component {
  /** @type {State} */
  state = { subject: "customer", key: "", text: "", suggestions: [], zoneError: "" };

  /** @param {string} span */
  chooseSpan(span) {
    // A span of one's own begins as the one that is shown.
    const { start, end } = daysOf(this.props.view, new Date());
    this.props.onChange(span === "custom" ? { span, from: start, to: end } : { span, from: "", to: "" });
  }

  /** @param {"from" | "to"} which @param {string} day */
  chooseDay(which, day) {
    if (day === "") return;
    const days = { from: this.props.view.from, to: this.props.view.to, [which]: day };
    if (days.from > days.to) days.from = days.to = day;
    this.props.onChange({ span: "custom", ...days });
  }

  /** @param {any} event */
  chooseZone = (event) => {
    const zone = event.target.value.trim();
    if (isZone(zone)) {
      this.setState({ zoneError: "" });
      this.props.onChange({ zone });
    } else {
      this.setState({ zoneError: "Choose a time zone such as Europe/Berlin." });
    }
  };

  /** @returns {Subject} the chosen one of those that count on the page */
  subject() {
    const { dimensions, hasMetadata } = this.props;
    const { subject } = this.state;
    const counts = subject === "metadata" ? hasMetadata : dimensions.includes(subject);
    return counts ? subject : (dimensions[0] ?? "customer");
  }

  /** @type {AbortController | null} */
  suggesting = null;

  componentWillUnmount() {
    this.suggesting?.abort();
  }

  /** Asks which values of a dimension cost most, to suggest them; what was asked before no longer counts. */
  suggest = async () => {
    this.suggesting?.abort();
    const dimension = this.subject();
    if (dimension === "metadata") return;
    const { view } = this.props;
    const days = daysOf(view, new Date());
    const suggesting = new AbortController();
    this.suggesting = suggesting;
    // Totals do not depend on the interval; of the longest there are few periods to answer.
    const request = {
      ...requestOf({ ...view, filters: { ...view.filters, [dimension]: [] } }, days, "year"),
      metrics: ["costs"],
      groupBy: DIMENSIONS[dimension].group,
      groupsMax: SUGGESTIONS_MAX,
    };
    try {
      const answer = await call("MetricsService/GetMetrics", request, suggesting.signal);
      const groups = /** @type {any[]} */ (answer.groups ?? []).filter((group) => !group.others);
      this.setState({ suggestions: groups.map((group) => group.value ?? "").filter(Boolean) });
    } catch {
      // Without suggestions a value can be typed in; the page itself says what is wrong.
    }
  };

  /** @param {Subject} subject what the next filter is about */
  choose(subject) {
    this.suggesting?.abort();
    this.setState({ subject, suggestions: [], text: "" });
  }

  /** @param {SubmitEvent} event */
  add = (event) => {
    event.preventDefault();
    const subject = this.subject();
    const { key, text } = this.state;
    if (subject === "metadata") {
      const member = { key, value: text };
      const others = this.props.view.members.filter((one) => !isSame(one, member));
      this.props.onChange({ members: [...others, member] });
    } else {
      const values = this.props.view.filters[subject];
      if (!values.includes(text)) this.filter(subject, [...values, text]);
    }
    this.setState({ text: "" });
  };

  /** @param {Dimension} dimension @param {string[]} values */
  filter(dimension, values) {
    this.props.onChange({ filters: { ...this.props.view.filters, [dimension]: values } });
  }

  render() {
    const { view, dimensions, hasMetadata, hasSpan, hasInterval } = this.props;
    const { key, text, suggestions, zoneError } = this.state;
    const subject = this.subject();
    const isOfMetadata = subject === "metadata";
    const name = isOfMetadata ? "Value" : DIMENSIONS[subject].name;
    const isFiltered = view.members.length > 0 || DIMENSION_NAMES.some((one) => view.filters[one].length > 0);
    return html`
      <div class="toolbar">
        ${hasSpan && html`<div class="spans" role="group" aria-label="Span">
          ${Object.entries(SPANS).map(
            ([key, name]) => html`
              <button type="button" key=${key} aria-pressed=${String(view.span === key)} onClick=${() => this.chooseSpan(key)}>
                ${name}
              </button>
            `,
          )}
        </div>`}
        ${hasSpan &&
        view.span === "custom" &&
        html`
          <label class="inline">From <input type="date" value=${view.from} onChange=${(/** @type {any} */ event) => this.chooseDay("from", event.target.value)} /></label>
          <label class="inline">to <input type="date" value=${view.to} onChange=${(/** @type {any} */ event) => this.chooseDay("to", event.target.value)} /></label>
        `}
        ${hasInterval &&
        html`
          <label class="inline">
            Interval
            <select value=${view.interval} onChange=${(/** @type {any} */ event) => this.props.onChange({ interval: event.target.value })}>
              ${Object.entries(INTERVALS).map(([key, name]) => html`<option value=${key}>${name}</option>`)}
            </select>
          </label>
        `}
        <label class="inline">
          Time zone
          <input list="zones" value=${view.zone} onChange=${this.chooseZone} spellcheck=${false} autocomplete="off" />
        </label>
        <datalist id="zones">${ZONES.map((zone) => html`<option value=${zone}></option>`)}</datalist>
        ${zoneError && html`<span class="error" role="alert">${zoneError}</span>`}
        ${dimensions.length > 0 && html`<form class="filter" onSubmit=${this.add}>
          <label class="inline">
            Filter
            <select
              value=${subject}
              onChange=${(/** @type {any} */ event) => this.choose(event.target.value)}
            >
              ${dimensions.map((one) => html`<option value=${one}>${DIMENSIONS[one].name}</option>`)}
              ${hasMetadata && html`<option value="metadata">Metadata</option>`}
            </select>
          </label>
          ${isOfMetadata &&
          html`<input
            aria-label="Key of the metadata"
            placeholder="Key"
            value=${key}
            autocomplete="off"
            spellcheck=${false}
            onInput=${(/** @type {any} */ event) => this.setState({ key: event.target.value })}
          />`}
          <input
            list="suggestions"
            aria-label=${`${name} to show`}
            placeholder="Value"
            value=${text}
            autocomplete="off"
            spellcheck=${false}
            onFocus=${this.suggest}
            onInput=${(/** @type {any} */ event) => this.setState({ text: event.target.value })}
          />
          <datalist id="suggestions">${suggestions.map((value) => html`<option value=${value}></option>`)}</datalist>
          <button type="submit" disabled=${text === "" || (isOfMetadata && key === "")}>Add</button>
        </form>`}
        ${dimensions.length > 0 &&
        isFiltered &&
        html`
          <ul class="chips" aria-label="Filters">
            ${DIMENSION_NAMES.flatMap((one) =>
              view.filters[one].map(
                (value) => html`
                  <${Chip}
                    key=${`${one} ${value}`}
                    name=${DIMENSIONS[one].name}
                    value=${shown(value, one)}
                    counts=${dimensions.includes(one)}
                    onRemove=${() => this.filter(one, view.filters[one].filter((other) => other !== value))}
                  >
                    ${one === "customer"
                      ? html`<${ViewLink} view=${customerView(view, value)} onChange=${this.props.onChange}><bdi>${value}</bdi><//>`
                      : html`<bdi>${shown(value, one)}</bdi>`}
                  <//>
                `,
              ),
            )}
            ${view.members.map(
              (member) => html`
                <${Chip}
                  key=${`metadata ${JSON.stringify(member)}`}
                  name="Metadata"
                  value=${`${member.key} = ${member.value}`}
                  counts=${hasMetadata}
                  onRemove=${() => this.props.onChange({ members: view.members.filter((other) => other !== member) })}
                >
                  <bdi>${member.key}</bdi> = <bdi>${member.value}</bdi>
                <//>
              `,
            )}
          </ul>
        `}
      </div>
    `;
  }
}

/**
 * A filter that is set, with a button that removes it.
 * @param {{ name: string, value: string, counts: boolean, onRemove: () => void, children?: any }} props
 */
function Chip({ name, value, counts, onRemove, children }) {
  return html`
    <li>
      <span>${name}: ${children}${!counts && html` <span class="note">(not on this page)</span>`}</span>
      <button type="button" aria-label=${`Remove the filter ${name}: ${value}`} onClick=${onRemove}>×</button>
    </li>
  `;
}

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
  intervalOf,
  isZone,
  requestOf,
} from "./state.js";

/** @typedef {import("./state.js").View} View */
/** @typedef {import("./state.js").Dimension} Dimension */

const SUGGESTIONS_MAX = 100;

const ZONES = ["UTC", ...Intl.supportedValuesOf("timeZone")];

/**
 * @typedef {{
 *   view: View,
 *   dimensions: Dimension[],
 *   hasSpan: boolean,
 *   hasInterval: boolean,
 *   onChange: (change: Partial<View>) => void,
 * }} Props `dimensions` are those whose filters count on the page
 * @typedef {{
 *   dimension: Dimension,
 *   text: string,
 *   suggestions: string[],
 *   zoneError: string,
 * }} State
 * @extends {Component<Props, State>}
 */
export class Toolbar extends Component {
  /** @type {State} */
  state = { dimension: "customer", text: "", suggestions: [], zoneError: "" };

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

  /** @returns {Dimension} the chosen one of the dimensions that count on the page */
  dimension() {
    const { dimensions } = this.props;
    const { dimension } = this.state;
    return dimensions.includes(dimension) ? dimension : (dimensions[0] ?? "customer");
  }

  /** Asks which values of a dimension cost most, to suggest them. */
  suggest = async () => {
    const dimension = this.dimension();
    const { view } = this.props;
    const days = daysOf(view, new Date());
    const request = {
      ...requestOf({ ...view, filters: { ...view.filters, [dimension]: [] } }, days, intervalOf(view, days)),
      metrics: ["costs"],
      groupBy: DIMENSIONS[dimension].group,
      groupsMax: SUGGESTIONS_MAX,
    };
    try {
      const answer = await call("MetricsService/GetMetrics", request);
      if (dimension !== this.dimension()) return;
      const groups = /** @type {any[]} */ (answer.groups ?? []).filter((group) => !group.others);
      this.setState({ suggestions: groups.map((group) => group.value ?? "").filter(Boolean) });
    } catch {
      // Without suggestions a value can be typed in; the page itself says what is wrong.
    }
  };

  /** @param {SubmitEvent} event */
  add = (event) => {
    event.preventDefault();
    const dimension = this.dimension();
    const { text } = this.state;
    const values = this.props.view.filters[dimension];
    if (text !== "" && !values.includes(text)) this.filter(dimension, [...values, text]);
    this.setState({ text: "" });
  };

  /** @param {Dimension} dimension @param {string[]} values */
  filter(dimension, values) {
    this.props.onChange({ filters: { ...this.props.view.filters, [dimension]: values } });
  }

  render() {
    const { view, dimensions, hasSpan, hasInterval } = this.props;
    const { text, suggestions, zoneError } = this.state;
    const dimension = this.dimension();
    const chips = DIMENSION_NAMES.flatMap((name) => view.filters[name].map((value) => ({ name, value })));
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
              value=${dimension}
              onChange=${(/** @type {any} */ event) => this.setState({ dimension: event.target.value, suggestions: [], text: "" })}
            >
              ${dimensions.map((name) => html`<option value=${name}>${DIMENSIONS[name].name}</option>`)}
            </select>
          </label>
          <input
            list="suggestions"
            aria-label=${`${DIMENSIONS[dimension].name} to show`}
            placeholder="Value"
            value=${text}
            autocomplete="off"
            spellcheck=${false}
            onFocus=${this.suggest}
            onInput=${(/** @type {any} */ event) => this.setState({ text: event.target.value })}
          />
          <datalist id="suggestions">${suggestions.map((value) => html`<option value=${value}></option>`)}</datalist>
          <button type="submit" disabled=${text === ""}>Add</button>
        </form>`}
        ${dimensions.length > 0 &&
        chips.length > 0 &&
        html`
          <ul class="chips" aria-label="Filters">
            ${chips.map(
              ({ name, value }) => html`
                <li key=${`${name} ${value}`}>
                  <span>
                    ${DIMENSIONS[name].name}:${" "}
                    ${name === "customer"
                      ? html`<${ViewLink} view=${customerView(view, value)} onChange=${this.props.onChange}><bdi>${value}</bdi><//>`
                      : html`<bdi>${shown(value)}</bdi>`}
                    ${!dimensions.includes(name) && html` <span class="note">(not on this page)</span>`}
                  </span>
                  <button
                    type="button"
                    aria-label=${`Remove the filter ${DIMENSIONS[name].name}: ${shown(value)}`}
                    onClick=${() => this.filter(name, view.filters[name].filter((one) => one !== value))}
                  >
                    ×
                  </button>
                </li>
              `,
            )}
          </ul>
        `}
      </div>
    `;
  }
}

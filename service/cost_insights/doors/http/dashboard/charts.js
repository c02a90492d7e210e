// Charts of time series, each with a table that says the same.

import { Downloads } from "./downloads.js";
import { Component, html } from "./html.js";
import { count, exactDollars, plainDollars, position } from "./money.js";
import { drawing, stacked } from "./pictures.js";
import uPlot from "./vendor/uPlot.esm.js";

/** @typedef {{
 *   name: string,
 *   color: string,
 *   values: number[],
 *   texts: string[],
 *   plain: string[],
 * }} Series the colour is the name of one in the style sheet; the texts say each value exactly, and
 *   `plain` says it as a program reads it
 */

/** @typedef {{
 *   label: string,
 *   zone: string,
 *   times: number[],
 *   names: string[],
 *   series: Series[],
 *   total: { name: string, texts: string[], plain: string[] },
 *   isStacked?: boolean,
 *   isCount?: boolean,
 *   focus?: object,
 * }} ChartProps times are in seconds, and `names` says each in words. Series are stacked on each
 *   other, or, if there are two, have an area between them; `total` is what they come to, and `focus`
 *   the `ExportMetricsRequest` of the same in full detail. They are amounts or counts
 */

const HEIGHT = 320;

/** How much of what lies below an area of a stack is covered, after a colour such as `#123456`. */
const STACKED_ALPHA = "66";

/** Values are seen by heights of areas, so nothing is left out between them and nothing. */
const FROM_ZERO = /** @type {uPlot.Range.Config} */ ({ min: { pad: 0.1, soft: 0, mode: 1 }, max: { pad: 0.1, soft: 0, mode: 1 } });

/** How times are written, by the least seconds between two: the columns are those, the text of each, and the texts that follow
 *  where a year, a month, a day, an hour, a minute or a second begins. */
const TIMES = [
  [365 * 24 * 3_600, "{YYYY}", null, null, null, null, null, null, 1],
  [28 * 24 * 3_600, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [24 * 3_600, "{D} {MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [60, "{HH}:{mm}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
];

/** @extends {Component<ChartProps, { place: number | null }>} */
export class Chart extends Component {
  /** @type {{ place: number | null }} */
  state = { place: null };

  /** @type {uPlot | null} */
  plot = null;

  /** @type {HTMLElement | null} */
  host = null;

  /** @type {HTMLTableElement | null} */
  table = null;

  /** Holds the chart as it is printed, while it is. @type {HTMLElement | null} */
  paper = null;

  resized = new ResizeObserver(() => {
    if (this.plot !== null && this.host !== null) {
      this.plot.setSize({ width: this.host.clientWidth, height: HEIGHT });
    }
  });

  dark = matchMedia("(prefers-color-scheme: dark)");

  componentDidMount() {
    this.draw();
    if (this.host !== null) this.resized.observe(this.host);
    this.dark.addEventListener("change", this.draw);
    document.addEventListener("themechange", this.draw);
    addEventListener("beforeprint", this.print);
    addEventListener("afterprint", this.clear);
  }

  /** @param {ChartProps} before */
  componentDidUpdate(before) {
    if (before === this.props) return;
    const same =
      before.zone === this.props.zone &&
      before.series.length === this.props.series.length &&
      before.times.length < 2 === this.props.times.length < 2;
    if (same && this.plot !== null) this.plot.setData(this.data());
    else this.draw();
  }

  componentWillUnmount() {
    this.resized.disconnect();
    this.dark.removeEventListener("change", this.draw);
    document.removeEventListener("themechange", this.draw);
    removeEventListener("beforeprint", this.print);
    removeEventListener("afterprint", this.clear);
    this.plot?.destroy();
  }

  print = () => this.paper?.replaceChildren(drawing(this.picture()));

  clear = () => this.paper?.replaceChildren();

  /** @returns {import("./pictures.js").Picture} */
  picture() {
    return { ...this.props, short: shortOf(this.props) };
  }

  /** @returns {uPlot.AlignedData} */
  data() {
    return [this.props.times, ...stacked(this.props)];
  }

  /**
   * The areas: each from the line of its first series down to that of its second.
   * @param {(name: string) => string} color
   * @returns {uPlot.Band[]}
   */
  bands(color) {
    if (!this.props.isStacked) {
      if (this.props.series.length !== 2) return [];
      return [
        { series: [1, 2], fill: color("gain") },
        { series: [2, 1], fill: color("loss") },
      ];
    }
    return this.props.series.slice(1).map((one, place) => ({
      series: [place + 2, place + 1],
      fill: `${color(one.color)}${STACKED_ALPHA}`,
    }));
  }

  draw = () => {
    if (this.host === null) return;
    this.plot?.destroy();
    const style = getComputedStyle(document.documentElement);
    /** @param {string} name */
    const color = (name) => style.getPropertyValue(`--${name}`).trim();
    const axis = { stroke: color("muted"), grid: { stroke: color("line"), width: 1 }, ticks: { show: false } };
    this.plot = new uPlot(
      {
        width: this.host.clientWidth,
        height: HEIGHT,
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false } },
        tzDate: (time) => uPlot.tzDate(new Date(time * 1_000), this.props.zone),
        scales: { y: { range: FROM_ZERO } },
        series: [
          {},
          ...this.props.series.map((one, place) => ({
            label: one.name,
            stroke: color(one.color),
            ...(this.props.isStacked && place === 0
              ? { fill: `${color(one.color)}${STACKED_ALPHA}` }
              : {}),
            width: 2,
            points: { show: this.props.times.length < 2 },
          })),
        ],
        bands: this.bands(color),
        axes: [
          { ...axis, space: 60, values: TIMES },
          { ...axis, size: 70, values: (_, splits) => splits.map(shortOf(this.props)) },
        ],
        hooks: {
          setCursor: [(plot) => this.setState({ place: plot.cursor.idx ?? null })],
        },
      },
      this.data(),
      this.host,
    );
  };

  render() {
    const { label, names, series, total, isCount } = this.props;
    const place = this.state.place;
    /** @param {string[]} texts */
    const at = (texts) => (place === null ? "" : (texts[place] ?? ""));
    return html`
      <figure class="chart">
        <figcaption>
          <span class="when">${place === null ? label : (names[place] ?? label)}</span>
          ${series.map(
            (one) => html`<span><span class=${`mark ${one.color}`}></span><bdi>${one.name}</bdi> ${at(one.texts)}</span>`,
          )}
          ${place !== null && html`<span>${total.name} ${at(total.texts)}</span>`}
        </figcaption>
        <div
          class="plot"
          role="img"
          aria-label=${`${label}; the table below says the same`}
          ref=${(/** @type {HTMLElement | null} */ host) => {
            this.host = host;
          }}
        ></div>
        <div
          class="paper"
          ref=${(/** @type {HTMLElement | null} */ paper) => {
            this.paper = paper;
          }}
        ></div>
        <details>
          <summary>Table</summary>
          <div class="scroll" tabindex="0" role="region" aria-label=${`Table: ${label}`}>
            <table
              ref=${(/** @type {HTMLTableElement | null} */ table) => {
                this.table = table;
              }}
            >
              <thead>
                <tr>
                  <th scope="col">Period</th>
                  ${[...series, total].map((one) => html`<th scope="col">${one.name}</th>`)}
                </tr>
              </thead>
              <tbody>
                ${names.map(
                  (name, row) => html`<tr>
                    <th scope="row">${name}</th>
                    ${[...series, total].map((one) => html`<td class=${isCount ? "" : "amount"} data-plain=${one.plain[row]}>${one.texts[row]}</td>`)}
                  </tr>`,
                )}
              </tbody>
            </table>
          </div>
        </details>
        <${Downloads} label=${label} table=${() => this.table} chart=${this.picture()} focus=${this.props.focus} />
      </figure>
    `;
  }
}

const SHORT = new Intl.NumberFormat("en-US", {
  style: "currency",
  currency: "USD",
  notation: "compact",
  maximumSignificantDigits: 4,
});

const SHORT_COUNT = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 4 });

/**
 * The words for the lines of the grid, which are no amounts of anybody.
 * @param {{ isCount?: boolean }} props
 * @returns {(value: number) => string}
 */
function shortOf({ isCount = false }) {
  // Cents have two digits, as in $1.50.
  return (value) => (isCount ? SHORT_COUNT.format(value) : SHORT.format(value / 100).replace(/\.\d$/, "$&0"));
}

/**
 * An amount of each period, as it is drawn and as it is said.
 * @param {any[]} periods
 * @param {string} field of amounts in cents
 */
export function course(periods, field) {
  return {
    values: periods.map((period) => position(period[field])),
    texts: periods.map((period) => exactDollars(period[field])),
    plain: periods.map((period) => plainDollars(period[field])),
  };
}

/**
 * A count of each period, as it is drawn and as it is said.
 * @param {any[]} periods
 * @param {string} field of counts
 */
export function countCourse(periods, field) {
  return {
    values: periods.map((period) => position(period[field])),
    texts: periods.map((period) => count(period[field])),
    plain: periods.map((period) => /** @type {string} */ (period[field])),
  };
}

/**
 * The times of periods, as they are drawn and as they are said.
 * @param {any[]} periods
 * @param {string} interval
 */
export function timesOf(periods, interval) {
  const starts = /** @type {string[]} */ (periods.map((period) => period.timestamp));
  return {
    times: starts.map((start) => Date.parse(start) / 1_000),
    names: starts.map((start) => nameOf(start, interval)),
  };
}

/** @param {string} timestamp the start of a period in its time zone @param {string} interval */
function nameOf(timestamp, interval) {
  if (interval === "hour") return `${timestamp.slice(0, 10)} ${timestamp.slice(11, 16)}`;
  if (interval === "month") return timestamp.slice(0, 7);
  return interval === "year" ? timestamp.slice(0, 4) : timestamp.slice(0, 10);
}

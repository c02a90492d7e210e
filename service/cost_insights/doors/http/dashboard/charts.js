// Charts of time series, each with a table that says the same.

import { Component, html } from "./html.js";
import uPlot from "./vendor/uPlot.esm.js";

/** @typedef {{
 *   name: string,
 *   color: string,
 *   values: number[],
 *   texts: string[],
 * }} Series the colour is the name of one in the style sheet; the texts say each value exactly
 */

/** @typedef {{
 *   label: string,
 *   zone: string,
 *   times: number[],
 *   names: string[],
 *   series: Series[],
 *   between: { name: string, texts: string[] },
 * }} ChartProps times are in seconds, and `names` says each in words; the first two series have an
 *   area between them
 */

const HEIGHT = 320;

/** @extends {Component<ChartProps, { place: number | null }>} */
export class Chart extends Component {
  /** @type {{ place: number | null }} */
  state = { place: null };

  /** @type {uPlot | null} */
  plot = null;

  /** @type {HTMLElement | null} */
  host = null;

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
  }

  /** @param {ChartProps} before */
  componentDidUpdate(before) {
    if (before === this.props) return;
    const same = before.zone === this.props.zone && before.series.length === this.props.series.length;
    if (same && this.plot !== null) this.plot.setData(this.data());
    else this.draw();
  }

  componentWillUnmount() {
    this.resized.disconnect();
    this.dark.removeEventListener("change", this.draw);
    document.removeEventListener("themechange", this.draw);
    this.plot?.destroy();
  }

  /** @returns {uPlot.AlignedData} */
  data() {
    return [this.props.times, ...this.props.series.map((one) => one.values)];
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
        series: [
          {},
          ...this.props.series.map((one) => ({
            label: one.name,
            stroke: color(one.color),
            width: 2,
            points: { show: this.props.times.length < 2 },
          })),
        ],
        bands: [
          { series: [1, 2], fill: color("gain") },
          { series: [2, 1], fill: color("loss") },
        ],
        axes: [
          axis,
          { ...axis, size: 70, values: (_, splits) => splits.map((value) => short(value)) },
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
    const { label, names, series, between } = this.props;
    const place = this.state.place;
    /** @param {string[]} texts */
    const at = (texts) => (place === null ? "" : (texts[place] ?? ""));
    return html`
      <figure class="chart">
        <figcaption>
          <span class="when">${place === null ? label : (names[place] ?? label)}</span>
          ${series.map(
            (one) => html`<span><span class=${`mark ${one.color}`}></span>${one.name} ${at(one.texts)}</span>`,
          )}
          <span>${between.name} ${at(between.texts)}</span>
        </figcaption>
        <div
          class="plot"
          role="img"
          aria-label=${`${label}; the table below says the same`}
          ref=${(/** @type {HTMLElement | null} */ host) => {
            this.host = host;
          }}
        ></div>
        <details>
          <summary>Table</summary>
          <div class="scroll" tabindex="0" role="region" aria-label=${`Table: ${label}`}>
            <table>
              <thead>
                <tr>
                  <th scope="col">Period</th>
                  ${[...series, between].map((one) => html`<th scope="col">${one.name}</th>`)}
                </tr>
              </thead>
              <tbody>
                ${names.map(
                  (name, row) => html`<tr>
                    <th scope="row">${name}</th>
                    ${[...series, between].map((one) => html`<td>${one.texts[row]}</td>`)}
                  </tr>`,
                )}
              </tbody>
            </table>
          </div>
        </details>
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

/** @param {number} cents the place of a line of the grid, which is no amount of anybody */
function short(cents) {
  return SHORT.format(cents / 100);
}

// Small parts that pages are made of.

import { Component, html } from "./html.js";
import { dollars, exactDollars, plainDollars } from "./money.js";
import { queryOf } from "./state.js";

/**
 * An amount as people read it; it shows the exact one on hover, and is copied as that.
 * @param {{ cents: string }} props
 */
export function Amount({ cents }) {
  return html`<span class="amount" data-plain=${plainDollars(cents)} title=${exactDollars(cents)}>${dollars(cents)}</span>`;
}

/**
 * The course of a number, for a glance; the table of the page says the same in numbers.
 * @param {{ values: number[] }} props
 */
export function Sparkline({ values }) {
  const low = Math.min(0, ...values);
  const height = Math.max(...values, 0) - low || 1;
  const step = values.length > 1 ? 100 / (values.length - 1) : 0;
  const points = values.map((value, place) => {
    return `${(place * step).toFixed(2)},${(28 - ((value - low) / height) * 26).toFixed(2)}`;
  });
  if (points.length === 1) points.push(points[0]?.replace(/^[^,]*/, "100") ?? "");
  return html`
    <svg class="sparkline" viewBox="0 0 100 30" preserveAspectRatio="none" aria-hidden="true">
      <polyline points=${points.join(" ")} fill="none" vector-effect="non-scaling-stroke" />
    </svg>
  `;
}

/** What events lack whose value of a dimension is empty. @type {Partial<Record<import("./state.js").Dimension, string>>} */
const LACKING = { product: "(no product)", vendor: "(no LLM call)", model: "(no LLM call)" };

/**
 * A value of a dimension: an empty one is named, so that it can be seen.
 * @param {string} value
 * @param {import("./state.js").Dimension} dimension
 */
export function shown(value, dimension) {
  return value === "" ? (LACKING[dimension] ?? "(none)") : value;
}

/**
 * A link to another view, which the page itself goes to.
 * @param {{
 *   view: import("./state.js").View,
 *   onChange: (change: Partial<import("./state.js").View>) => void,
 *   current?: boolean,
 *   children?: any,
 * }} props
 */
export function ViewLink({ view, onChange, current, children }) {
  /** @param {MouseEvent} event */
  const go = (event) => {
    // With a key held down the browser opens the address elsewhere.
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    onChange(view);
  };
  return html`<a href=${`./${queryOf(view)}`} onClick=${go} aria-current=${current ? "page" : undefined}>${children}</a>`;
}

/**
 * A button that copies a text, where the browser lets a page do so: by https and on this machine.
 * @extends {Component<{ text: string, name: string }, { isCopied: boolean }>}
 */
export class Copy extends Component {
  state = { isCopied: false };

  copy = async () => {
    await navigator.clipboard.writeText(this.props.text);
    this.setState({ isCopied: true });
  };

  render() {
    if (navigator.clipboard === undefined) return null;
    return html`
      <button type="button" onClick=${this.copy}>${this.props.name}</button>
      <span role="status">${this.state.isCopied ? " Copied" : ""}</span>
    `;
  }
}

/** Copies of amounts are exact, whatever is shown. */
export function copyExactly() {
  document.addEventListener("copy", (event) => {
    const selection = document.getSelection();
    const node = selection?.anchorNode;
    const element = node instanceof Element ? node : node?.parentElement;
    const amount = element?.closest(".amount");
    if (!(amount instanceof HTMLElement) || !selection || !event.clipboardData) return;
    if (selection.toString().trim() !== amount.textContent?.trim()) return;
    event.clipboardData.setData("text/plain", amount.dataset["plain"] ?? "");
    event.preventDefault();
  });
}

/** The themes that can be chosen. */
const THEMES = /** @type {Record<string, string>} */ ({
  system: "System",
  light: "Light",
  dark: "Dark",
});

/** The choice of the theme, which this browser keeps. @extends {Component<{}, {}>} */
export class Theme extends Component {
  /** @param {any} event */
  choose = (event) => {
    localStorage.setItem("theme", event.target.value);
    applyTheme();
    this.forceUpdate();
  };

  render() {
    const theme = localStorage.getItem("theme") ?? "system";
    return html`
      <label class="inline">
        Theme
        <select value=${theme} onChange=${this.choose}>
          ${Object.entries(THEMES).map(([key, name]) => html`<option value=${key}>${name}</option>`)}
        </select>
      </label>
    `;
  }
}

/** Shows the theme that was chosen, and tells charts of it. */
export function applyTheme() {
  const theme = localStorage.getItem("theme") ?? "system";
  document.documentElement.dataset["theme"] = theme;
  document.dispatchEvent(new Event("themechange"));
}

/**
 * Prints what is folded up, too, and in light colours. It is called before charts are shown, which are
 * drawn for the paper after that.
 */
export function printWhole() {
  /** @type {HTMLDetailsElement[]} */
  let unfolded = [];
  addEventListener("beforeprint", () => {
    document.documentElement.dataset["theme"] = "light";
    unfolded = [...document.querySelectorAll("details")].filter((details) => !details.open);
    for (const details of unfolded) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of unfolded) details.open = false;
    applyTheme();
  });
}

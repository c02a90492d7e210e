// Downloads of what a page shows: tables as CSV, charts as PNG and SVG, and costs in full detail as FOCUS.

import { CallError, stream } from "./api.js";
import { Component, html } from "./html.js";
import { pngOf, svgOf } from "./pictures.js";

const NAME_CHARS_MAX = 120;

/** The time after which the address of a file, which the browser has saved by then, is given up. */
const KEPT_MS = 60_000;

const MEGABYTE = 1_000_000;

/** @typedef {(signal: AbortSignal, received: (bytes: number) => void) => Promise<BlobPart[]>} Whole
 *   reads the parts of a file from the service
 */

/** @typedef {{
 *   label: string,
 *   table: () => HTMLTableElement | null | undefined,
 *   chart?: import("./pictures.js").Picture,
 *   focus?: object | undefined,
 *   whole?: Whole | undefined,
 * }} Props `label` says what is shown and of when, which the names of files repeat; `focus` is the
 *   `ExportMetricsRequest` of what is shown in full detail, if that is about costs, and `whole` reads
 *   all of a table of which a part is shown, as CSV
 */

/**
 * The buttons that download what is shown.
 * @typedef {{ error: string, bytes: number | null }} State `bytes` were received of an export so far
 * @extends {Component<Props, State>}
 */
export class Downloads extends Component {
  /** @type {State} */
  state = { error: "", bytes: null };

  /** @type {AbortController | null} */
  exporting = null;

  componentWillUnmount() {
    this.exporting?.abort();
  }

  csv = () => {
    const { whole } = this.props;
    if (whole) {
      this.receive("csv", whole);
      return;
    }
    const table = this.props.table();
    if (table) save(new Blob([csvOf(table)], { type: "text/csv" }), fileName(this.props.label, "csv"));
  };

  /** @param {import("./pictures.js").Picture} chart */
  svg = (chart) => save(new Blob([svgOf(chart)], { type: "image/svg+xml" }), fileName(this.props.label, "svg"));

  /** @param {import("./pictures.js").Picture} chart */
  png = async (chart) => {
    try {
      save(await pngOf(chart), fileName(this.props.label, "png"));
    } catch (error) {
      this.setState({ error: /** @type {Error} */ (error).message });
    }
  };

  /** Exports costs in full detail. @param {object} request */
  focus = (request) =>
    this.receive("focus.csv", async (signal, received) => {
      const parts = [];
      for await (const { rows } of stream("MetricsService/ExportMetrics", request, signal)) {
        const part = new Blob([rows]);
        parts.push(part);
        received(part.size);
      }
      return parts;
    });

  /**
   * Receives a file, which is saved once it is complete.
   * @param {string} end
   * @param {Whole} read
   */
  receive = async (end, read) => {
    const name = fileName(this.props.label, end);
    const exporting = new AbortController();
    this.exporting = exporting;
    let bytes = 0;
    this.setState({ error: "", bytes });
    try {
      const parts = await read(exporting.signal, (more) => {
        bytes += more;
        this.setState({ bytes });
      });
      save(new Blob(parts, { type: "text/csv" }), name);
    } catch (error) {
      if (exporting.signal.aborted) return;
      this.setState({ error: error instanceof CallError ? error.message : String(error) });
    } finally {
      this.setState({ bytes: null });
    }
  };

  cancel = () => {
    this.exporting?.abort();
    this.setState({ bytes: null });
  };

  render() {
    const { label, chart, focus, whole } = this.props;
    const { error, bytes } = this.state;
    return html`
      <div class="downloads" role="group" aria-label=${`Download: ${label}`}>
        <span class="note">Download</span>
        ${chart &&
        html`
          <button type="button" onClick=${() => this.png(chart)}>PNG</button>
          <button type="button" onClick=${() => this.svg(chart)}>SVG</button>
        `}
        ${(bytes === null || !whole) &&
        html`<button type="button" title=${`The ${whole ? "whole " : ""}table, with exact amounts. Import its cells as text.`} onClick=${this.csv}>CSV</button>`}
        ${focus &&
        bytes === null &&
        html`<button type="button" title="All costs, by day, customer, event name, model and product" onClick=${() => this.focus(focus)}>FOCUS</button>`}
        ${bytes !== null &&
        html`
          <span class="note" role="status">Exporting … ${(bytes / MEGABYTE).toFixed(1)} MB</span>
          <button type="button" onClick=${this.cancel}>Cancel</button>
        `}
        ${error && html`<span class="error" role="alert">${error}</span>`}
      </div>
    `;
  }
}

/**
 * A table that scrolls by itself, with its downloads.
 * @typedef {{ label: string, focus?: object, whole?: Whole | undefined, children?: any }} TableProps
 * @extends {Component<TableProps, {}>}
 */
export class Table extends Component {
  /** @type {HTMLElement | null} */
  host = null;

  render() {
    const { label, focus, whole, children } = this.props;
    return html`
      <div class="framed">
        <div
          class="scroll"
          tabindex="0"
          role="region"
          aria-label=${label}
          ref=${(/** @type {HTMLElement | null} */ host) => {
            this.host = host;
          }}
        >
          <table>${children}</table>
        </div>
        <${Downloads} label=${label} table=${() => this.host?.querySelector("table")} focus=${focus} whole=${whole} />
      </div>
    `;
  }
}

/**
 * A table as CSV. A cell is what it, or something in it, has as `data-plain`, and otherwise its text. The
 * currency of amounts stands in the first row, or after each where there are several in a column;
 * texts stay as callers sent them, as they do in the exports of the service.
 * @param {HTMLTableElement} table
 */
export function csvOf(table) {
  const rows = [...table.rows].map((row) => [...row.cells]);
  const [head = [], ...others] = rows;
  const currencies = head.map((_, column) => new Set(rows.flatMap((cells) => currencyOf(cells[column]) ?? [])));
  const names = head.map((cell, column) => {
    const [currency, another] = currencies[column] ?? [];
    return `${cell.textContent.trim()}${currency && !another ? ` (${currency})` : ""}`;
  });
  const texts = others.map((cells) =>
    cells.map((cell, column) => {
      const isMixed = (currencies[column]?.size ?? 0) > 1;
      return `${plain(cell)}${isMixed && currencyOf(cell) ? ` ${currencyOf(cell)}` : ""}`;
    }),
  );
  return [names, ...texts].map(csvLine).join("");
}

/** @param {string[]} cells those of a line of CSV */
export function csvLine(cells) {
  return `${cells.map(quoted).join(",")}\r\n`;
}

/**
 * @param {HTMLElement | undefined} cell
 * @returns {string | undefined} the currency of an amount in it
 */
function currencyOf(cell) {
  const amount = within(cell, ".amount");
  return amount && (amount.dataset["currency"] ?? "USD");
}

/** @param {HTMLElement} cell */
function plain(cell) {
  return within(cell, "[data-plain]")?.dataset["plain"] ?? cell.textContent.trim();
}

/**
 * A cell itself, or else the first element in it that a selector matches.
 * @param {HTMLElement | undefined} cell
 * @param {string} selector
 * @returns {HTMLElement | undefined}
 */
function within(cell, selector) {
  if (cell?.matches(selector)) return cell;
  return /** @type {HTMLElement | null} */ (cell?.querySelector(selector)) ?? undefined;
}

/** @param {string} text */
function quoted(text) {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/**
 * The name of a file that says what is in it and of when; without days of its own, of today.
 * @param {string} label
 * @param {string} end
 */
export function fileName(label, end) {
  const dated = /\d{4}-\d\d-\d\d/.test(label) ? label : `${label} ${new Date().toISOString().slice(0, 10)}`;
  const words = dated.toLowerCase().match(/[\p{L}\p{M}\p{N}]+/gu) ?? [];
  return `cost-insights-${[...words.join("-")].slice(0, NAME_CHARS_MAX).join("")}.${end}`;
}

/** @param {Blob} content @param {string} name */
function save(content, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), KEPT_MS);
}

// Pictures of charts, to be saved and printed: drawn as SVG from what the chart shows, in the colours
// of the page.

/** @typedef {{
 *   label: string,
 *   times: number[],
 *   names: string[],
 *   series: { name: string, color: string, values: number[] }[],
 *   isStacked?: boolean,
 *   short: (value: number) => string,
 * }} Picture `short` says the value of a line of the grid
 */

const WIDTH = 960;
const PLOT = { left: 80, top: 60, width: 850, height: 320 };
const LEGEND = { top: 430, columns: 3, row: 24, chars: 34 };
const LINES = 6;
const NAMES = 7;
const SCALE = 2;

/** What XML cannot hold, such as control characters. */
const NOT_XML = /[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu;

/** @typedef {(name: string) => string} Color */
/** @typedef {{ x: (time: number) => number, y: (value: number) => number }} Places */
/** @typedef {[time: number, value: number][]} Line */

/**
 * The chart as the text of an SVG file.
 * @param {Picture} picture
 */
export function svgOf(picture) {
  const style = getComputedStyle(document.documentElement);
  /** @type {Color} */
  const color = (name) => style.getPropertyValue(`--${name}`).trim();
  const values = stacked(picture);
  const all = [0, ...values.flat()];
  const grid = gridOf(Math.min(...all), Math.max(...all));
  const places = placesOf(picture.times, grid);
  const lines = values.map((one) => one.map((value, period) => /** @type {[number, number]} */ ([picture.times[period] ?? 0, value])));
  const height = LEGEND.top + LEGEND.row * Math.ceil(picture.series.length / LEGEND.columns) + 10;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="13">`,
    `<rect width="100%" height="100%" fill="${color("card")}"/>`,
    text(PLOT.left, 34, picture.label, color("text"), `font-size="17" font-weight="600"`),
    ...grid.map((value) => lineOfGrid(picture, value, places, color)),
    ...namesOfTimes(picture, places, color),
    ...areasOf(picture, lines, places, color),
    ...lines.map((line, place) => pathOf(line, places, color(picture.series[place]?.color ?? ""))),
    ...picture.series.map((one, place) => legendOf(one, place, color)),
    "</svg>",
  ].join("\n");
}

/**
 * The chart as an element.
 * @param {Picture} picture
 * @returns {Node}
 */
export function drawing(picture) {
  const parsed = new DOMParser().parseFromString(svgOf(picture), "image/svg+xml");
  return document.importNode(parsed.documentElement, true);
}

/**
 * The chart as a PNG file, with two pixels for each of the screen.
 * @param {Picture} picture
 * @returns {Promise<Blob>}
 */
export async function pngOf(picture) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svgOf(picture))}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = SCALE * image.width;
  canvas.height = SCALE * image.height;
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("This browser cannot make a PNG file."))));
  });
}

/**
 * The values of each line, which are sums where series are stacked on each other.
 * @param {{ series: { values: number[] }[], isStacked?: boolean }} chart
 * @returns {number[][]}
 */
export function stacked({ series, isStacked = false }) {
  const values = series.map((one) => one.values);
  if (!isStacked) return values;
  for (let place = 1; place < values.length; place += 1) {
    const below = values[place - 1];
    values[place] = (values[place] ?? []).map((value, period) => value + (below?.[period] ?? 0));
  }
  return values;
}

/**
 * The values of the lines of a grid: round numbers from below the least value to above the greatest.
 * @param {number} least
 * @param {number} greatest
 */
function gridOf(least, greatest) {
  const rough = (greatest - least) / LINES || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power;
  const first = Math.floor(least / step);
  const last = Math.max(Math.ceil(greatest / step), first + 1);
  return Array.from({ length: last - first + 1 }, (_, place) => (first + place) * step);
}

/**
 * @param {number[]} times
 * @param {number[]} grid
 * @returns {Places}
 */
function placesOf(times, grid) {
  const [start = 0, end = 0] = [times[0], times.at(-1)];
  const [low = 0, high = 1] = [grid[0], grid.at(-1)];
  return {
    x: (time) => PLOT.left + (end > start ? ((time - start) / (end - start)) * PLOT.width : PLOT.width / 2),
    y: (value) => PLOT.top + ((high - value) / (high - low)) * PLOT.height,
  };
}

/** @param {Picture} picture @param {number} value @param {Places} places @param {Color} color */
function lineOfGrid(picture, value, places, color) {
  const y = number(places.y(value));
  return (
    `<path d="M${PLOT.left} ${y}H${PLOT.left + PLOT.width}" stroke="${color("line")}"/>` +
    text(PLOT.left - 8, places.y(value) + 4, picture.short(value), color("muted"), `text-anchor="end"`)
  );
}

/** @param {Picture} picture @param {Places} places @param {Color} color */
function namesOfTimes({ names, times }, places, color) {
  const step = Math.max(1, Math.ceil(names.length / NAMES));
  return names.flatMap((name, period) =>
    period % step === 0 ? [text(places.x(times[period] ?? 0), PLOT.top + PLOT.height + 22, name, color("muted"), `text-anchor="middle"`)] : [],
  );
}

/**
 * The areas of a stack, or between two lines.
 * @param {Picture} picture
 * @param {Line[]} lines
 * @param {Places} places
 * @param {Color} color
 */
function areasOf({ series, isStacked }, lines, places, color) {
  const [one = [], other = []] = lines;
  if (isStacked) {
    const ground = one.map(([time]) => /** @type {[number, number]} */ ([time, 0]));
    return lines.map((line, place) => areaOf(line, lines[place - 1] ?? ground, places, color(series[place]?.color ?? ""), 0.4));
  }
  if (lines.length !== 2) return [];
  const lower = lowerOf(one, other);
  return [
    areaOf(one, lower, places, color(series[0]?.color ?? ""), 0.14),
    areaOf(other, lower, places, color(series[1]?.color ?? ""), 0.18),
  ];
}

/**
 * The lower one of two lines at each time, with the points where they cross.
 * @param {Line} one
 * @param {Line} other
 */
function lowerOf(one, other) {
  /** @type {Line} */
  const lower = [];
  one.forEach(([time, value], period) => {
    const gap = value - (other[period]?.[1] ?? 0);
    const before = one[period - 1];
    const gapBefore = before === undefined ? 0 : before[1] - (other[period - 1]?.[1] ?? 0);
    if (before !== undefined && gap * gapBefore < 0) {
      const part = gapBefore / (gapBefore - gap);
      lower.push([before[0] + part * (time - before[0]), before[1] + part * (value - before[1])]);
    }
    lower.push([time, gap < 0 ? value : value - gap]);
  });
  return lower;
}

/** @param {Line} upper @param {Line} lower @param {Places} places @param {string} fill @param {number} opacity */
function areaOf(upper, lower, places, fill, opacity) {
  return `<path d="M${points([...upper, ...lower.toReversed()], places)}Z" fill="${fill}" fill-opacity="${opacity}"/>`;
}

/** @param {Line} line @param {Places} places @param {string} stroke */
function pathOf(line, places, stroke) {
  const [first] = line;
  if (line.length === 1 && first !== undefined) {
    return `<circle cx="${number(places.x(first[0]))}" cy="${number(places.y(first[1]))}" r="4" fill="${stroke}"/>`;
  }
  return `<path d="M${points(line, places)}" fill="none" stroke="${stroke}" stroke-width="2"/>`;
}

/** @param {{ name: string, color: string }} series @param {number} place @param {Color} color */
function legendOf(series, place, color) {
  const x = PLOT.left + (place % LEGEND.columns) * (PLOT.width / LEGEND.columns);
  const y = LEGEND.top + LEGEND.row * Math.floor(place / LEGEND.columns);
  const letters = [...new Intl.Segmenter().segment(series.name)].map(({ segment }) => segment);
  const name = letters.length > LEGEND.chars ? `${letters.slice(0, LEGEND.chars - 1).join("")}…` : series.name;
  return (
    `<rect x="${number(x)}" y="${y - 6}" width="14" height="4" fill="${color(series.color)}"/>` +
    text(x + 22, y, name, color("text"), `unicode-bidi="isolate"`)
  );
}

/** @param {number} x @param {number} y @param {string} content @param {string} fill @param {string} attributes */
function text(x, y, content, fill, attributes) {
  return `<text x="${number(x)}" y="${number(y)}" fill="${fill}" ${attributes}>${escaped(content)}</text>`;
}

/** @param {Line} line @param {Places} places */
function points(line, { x, y }) {
  return line.map(([time, value]) => `${number(x(time))} ${number(y(value))}`).join("L");
}

/** @param {number} value */
function number(value) {
  return String(Math.round(value * 100) / 100);
}

/** @param {string} content */
function escaped(content) {
  return content.replace(NOT_XML, "\uFFFD").replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

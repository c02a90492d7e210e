// Numbers as people read them, made of decimal texts with whole numbers: no amount becomes a float.

/** A decimal: `units` times ten to the power of minus `scale`. @typedef {{ units: bigint, scale: number }} Decimal */

const MINUS = "\u2212";

/**
 * @param {string} text such as `-12.5`
 * @returns {Decimal}
 */
export function parse(text) {
  const match = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text);
  if (match === null) throw new Error(`${JSON.stringify(text)} is not a decimal`);
  const [, sign, whole, fraction = ""] = match;
  const units = BigInt(`${whole}${fraction}`);
  return { units: sign ? -units : units, scale: fraction.length };
}

/**
 * The amount in dollars, with the digits that matter: cents, or three digits of less than a dollar.
 * @param {string} cents
 */
export function dollars(cents) {
  const amount = parse(cents);
  const value = { units: amount.units, scale: amount.scale + 2 };
  const size = absolute(value.units);
  if (size === 0n) return "$0";
  let decimals = 2;
  if (size < power(value.scale)) decimals = Math.max(2, value.scale - digits(size) + 3);
  const rounded = trimmed(round(value, decimals), 2);
  return signed(rounded.units, `$${grouped(rounded)}`);
}

/**
 * The whole amount in dollars, such as `$1,234.50000025`.
 * @param {string} cents
 */
export function exactDollars(cents) {
  const value = plain(cents);
  return signed(value.units, `$${grouped(value)}`);
}

/**
 * The whole amount in dollars as a program reads it, such as `-1234.50000025`.
 * @param {string} cents
 */
export function plainDollars(cents) {
  const value = plain(cents);
  return `${value.units < 0n ? "-" : ""}${decimal(value)}`;
}

/**
 * A fraction in percent, such as `25.3%`.
 * @param {string} fraction
 */
export function percent(fraction) {
  const value = parse(fraction);
  const rounded = round({ units: value.units * 100n, scale: value.scale }, 1);
  return signed(rounded.units, `${grouped(rounded)}%`);
}

/**
 * A whole number, such as `12,345`.
 * @param {string} text
 */
export function count(text) {
  const value = parse(text);
  return signed(value.units, grouped(round(value, 0)));
}

/**
 * The part that one amount is of another, as a fraction; 0 of nothing.
 * @param {string} part
 * @param {string} whole
 */
export function share(part, whole) {
  const [one, other] = aligned(parse(part), parse(whole));
  if (other === 0n) return "0";
  const value = { units: (one * 10n ** 6n) / other, scale: 6 };
  return `${value.units < 0n ? "-" : ""}${decimal(value)}`;
}

/**
 * What one amount is more than another, which may be less than nothing.
 * @param {string} one
 * @param {string} other
 */
export function difference(one, other) {
  const [first, second] = aligned(parse(one), parse(other));
  const scale = Math.max(parse(one).scale, parse(other).scale);
  const value = trimmed({ units: first - second, scale }, 0);
  return `${value.units < 0n ? "-" : ""}${decimal(value)}`;
}

/**
 * The sum of some amounts, or of counts.
 * @param {string[]} texts
 */
export function sum(texts) {
  const values = texts.map(parse);
  const scale = Math.max(0, ...values.map((value) => value.scale));
  const units = values.reduce((all, value) => all + value.units * power(scale - value.scale), 0n);
  const value = trimmed({ units, scale }, 0);
  return `${value.units < 0n ? "-" : ""}${decimal(value)}`;
}

/**
 * An amount divided by a count, to 12 decimals half-even as the service divides; 0 by nothing.
 * @param {string} amount
 * @param {string} divisor a whole number that is not negative
 * @param {bigint} [factor] by which the amount is multiplied first
 */
export function quotient(amount, divisor, factor = 1n) {
  const { units, scale } = parse(amount);
  const whole = BigInt(divisor);
  if (whole === 0n) return "0";
  const size = absolute(units) * factor * power(12);
  const parts = whole * power(scale);
  let result = size / parts;
  const twice = (size % parts) * 2n;
  if (twice > parts || (twice === parts && result % 2n === 1n)) result += 1n;
  const value = trimmed({ units: result, scale: 12 }, 0);
  return `${units < 0n && result !== 0n ? "-" : ""}${decimal(value)}`;
}

/**
 * Compares the sizes of two amounts, whatever their signs, for an order that begins with the largest.
 * @param {string} one
 * @param {string} other
 */
export function bySize(one, other) {
  const [first, second] = aligned(parse(one), parse(other));
  const [left, right] = [absolute(first), absolute(second)];
  return left === right ? 0 : left > right ? -1 : 1;
}

/**
 * The change from one number to another in words, and its direction.
 * @param {string} now
 * @param {string} before
 * @returns {{ words: string, direction: -1 | 0 | 1 }}
 */
export function change(now, before) {
  const [one, other] = aligned(parse(now), parse(before));
  if (one === other) return { words: "no change", direction: 0 };
  const direction = one > other ? 1 : -1;
  if (other === 0n) return { words: "from 0", direction };
  const value = { units: (one - other) * 10n ** 5n / absolute(other), scale: 3 };
  const rounded = round(value, absolute(value.units) >= 100_000n ? 0 : 1);
  return { words: withSign(rounded.units, `${grouped(rounded)}%`, direction), direction };
}

/**
 * The change from one fraction to another, in percentage points.
 * @param {string} now
 * @param {string} before
 * @returns {{ words: string, direction: -1 | 0 | 1 }}
 */
export function points(now, before) {
  const first = parse(now);
  const second = parse(before);
  const scale = Math.max(first.scale, second.scale);
  const [one, other] = aligned(first, second);
  if (one === other) return { words: "no change", direction: 0 };
  const direction = one > other ? 1 : -1;
  const rounded = round({ units: (one - other) * 100n, scale }, 1);
  return { words: withSign(rounded.units, `${grouped(rounded)} points`, direction), direction };
}

/**
 * Where a number lies on a chart; only pixels follow from it.
 * @param {string} text
 */
export function position(text) {
  return Number(text);
}

/** @param {string} cents @returns {Decimal} dollars without zeros at the end */
function plain(cents) {
  const { units, scale } = parse(cents);
  return trimmed({ units, scale: scale + 2 }, 0);
}

/**
 * A decimal without zeros at the end, but for some decimals.
 * @param {Decimal} value
 * @param {number} decimals
 * @returns {Decimal}
 */
function trimmed({ units, scale }, decimals) {
  while (scale > decimals && units % 10n === 0n) {
    units /= 10n;
    scale -= 1;
  }
  return { units, scale };
}

/**
 * Rounds half to even; fewer decimals become more by zeros.
 * @param {Decimal} value
 * @param {number} decimals
 * @returns {Decimal}
 */
function round({ units, scale }, decimals) {
  if (scale <= decimals) return { units: units * power(decimals - scale), scale: decimals };
  const divisor = power(scale - decimals);
  const size = absolute(units);
  let quotient = size / divisor;
  const twice = (size % divisor) * 2n;
  if (twice > divisor || (twice === divisor && quotient % 2n === 1n)) quotient += 1n;
  return { units: units < 0n ? -quotient : quotient, scale: decimals };
}

/** @param {Decimal} value @returns {string} its size, without a sign */
function decimal({ units, scale }) {
  const text = absolute(units).toString().padStart(scale + 1, "0");
  return scale === 0 ? text : `${text.slice(0, -scale)}.${text.slice(-scale)}`;
}

/** @param {Decimal} value */
function grouped(value) {
  const [whole = "", fraction] = decimal(value).split(".");
  const groups = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return fraction === undefined ? groups : `${groups}.${fraction}`;
}

/** @param {bigint} units @param {string} text */
function signed(units, text) {
  return units < 0n ? `${MINUS}${text}` : text;
}

/** @param {bigint} units @param {string} text @param {-1 | 1} direction of what was rounded */
function withSign(units, text, direction) {
  if (units === 0n) return direction > 0 ? "up slightly" : "down slightly";
  return units > 0n ? `+${text}` : `${MINUS}${text}`;
}

/** @param {Decimal} one @param {Decimal} other @returns {[bigint, bigint]} */
function aligned(one, other) {
  const scale = Math.max(one.scale, other.scale);
  return [one.units * power(scale - one.scale), other.units * power(scale - other.scale)];
}

/** @param {bigint} units */
function absolute(units) {
  return units < 0n ? -units : units;
}

/** @param {bigint} units */
function digits(units) {
  return units.toString().length;
}

/** @param {number} exponent */
function power(exponent) {
  return 10n ** BigInt(exponent);
}

// What the page shows, as the query of its address says it: a view can be shared and gone back to.

/** @typedef {"customer" | "event" | "product" | "vendor" | "model"} Dimension */

/** @typedef {{ key: string, value: string }} Member a member of the metadata of events */

/** @typedef {{
 *   page: string,
 *   span: string,
 *   from: string,
 *   to: string,
 *   interval: string,
 *   zone: string,
 *   by: Dimension,
 *   order: string,
 *   id: string,
 *   after: string,
 *   filters: Record<Dimension, string[]>,
 *   members: Member[],
 * }} View `id` is what a page about one thing is about, and `after` the place in a list where its
 *   page begins; `members` filter lists of events, as `filters` do wherever a page has them
 */

/** @typedef {{ start: string, end: string }} Days the first and the last day, as `YYYY-MM-DD` */

/** What answers can be filtered and split by: names, and the fields of the RPC. */
export const DIMENSIONS = /** @type {const} */ ({
  customer: { name: "Customer", field: "externalCustomerIds", group: "GROUP_BY_CUSTOMER" },
  event: { name: "Event name", field: "eventNames", group: "GROUP_BY_EVENT_NAME" },
  product: { name: "Product", field: "productIds", group: "GROUP_BY_PRODUCT" },
  vendor: { name: "Vendor", field: "llmVendors", group: "GROUP_BY_LLM_VENDOR" },
  model: { name: "Model", field: "llmModels", group: "GROUP_BY_LLM_MODEL" },
});

/** The names of the dimensions in the address. */
export const DIMENSION_NAMES = /** @type {Dimension[]} */ (Object.keys(DIMENSIONS));

/** The spans to choose from; each ends today, but for the one that says both of its days. */
export const SPANS = /** @type {Record<string, string>} */ ({
  today: "Today",
  "7d": "7 days",
  "30d": "30 days",
  "90d": "90 days",
  month: "Month",
  quarter: "Quarter",
  year: "Year",
  custom: "Custom",
});

/** The lengths of periods. */
export const INTERVALS = /** @type {Record<string, string>} */ ({
  auto: "Automatic",
  hour: "Hour",
  day: "Day",
  week: "Week",
  month: "Month",
  year: "Year",
});

/** The pages by their names in the address. */
export const PAGES = /** @type {Record<string, string>} */ ({
  overview: "Overview",
  breakdown: "Breakdown",
  customers: "Customers",
  events: "Events",
  revenue: "Revenue",
  llm: "LLM",
});

/** The pages about one thing by their names in the address, with the pages that list such things. */
export const DETAILS = /** @type {Record<string, { name: string, list: string }>} */ ({
  customer: { name: "Customer", list: "customers" },
  event: { name: "Event", list: "events" },
});

/** The dimensions that costs can be broken down by. */
export const BREAKDOWNS = /** @type {Dimension[]} */ (["event", "vendor", "model", "product"]);

/** The orders of customers: names, and what the RPC calls them. */
export const ORDERS = /** @type {Record<string, { name: string, rpc: string }>} */ ({
  costs: { name: "Highest costs", rpc: "costs desc" },
  revenue: { name: "Highest revenue", rpc: "revenue desc" },
  margin: { name: "Highest margin", rpc: "cashflow desc" },
  losses: { name: "Losses first", rpc: "cashflow asc" },
});

const DAY_S = 86_400;

/** The name of a parameter that says a value of a member of the metadata. */
const MEMBER = /^metadata\[(.+)\]$/s;

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * The view that a query says; what it leaves out or what makes no sense is as at first.
 * @param {string} query such as `?span=7d`
 * @param {string} zone the time zone where the query says none
 * @returns {View}
 */
export function parseView(query, zone) {
  const given = new URLSearchParams(query);
  const from = given.get("from") ?? "";
  const to = given.get("to") ?? "";
  let span = oneOf(given.get("span"), SPANS, "30d");
  if (span === "custom" && !(isDay(from) && isDay(to) && from <= to)) span = "30d";
  const filters = /** @type {Record<Dimension, string[]>} */ ({});
  for (const name of DIMENSION_NAMES) filters[name] = [...new Set(given.getAll(name))];
  const members = [...given].flatMap(([name, value]) => {
    const key = MEMBER.exec(name)?.[1];
    return key === undefined ? [] : [{ key, value }];
  });
  const id = given.get("id") ?? "";
  const detail = DETAILS[oneOf(given.get("page"), DETAILS, "")];
  return {
    page: detail === undefined ? oneOf(given.get("page"), PAGES, "overview") : id === "" ? detail.list : (given.get("page") ?? ""),
    span,
    from: span === "custom" ? from : "",
    to: span === "custom" ? to : "",
    interval: oneOf(given.get("interval"), INTERVALS, "auto"),
    zone: isZone(given.get("zone") ?? "") ? /** @type {string} */ (given.get("zone")) : zone,
    by: BREAKDOWNS.find((name) => name === given.get("by")) ?? "event",
    order: oneOf(given.get("order"), ORDERS, "costs"),
    id,
    after: given.get("after") ?? "",
    filters,
    members: members.filter((member, place) => members.findIndex((one) => isSame(one, member)) === place),
  };
}

/**
 * The query that says a view.
 * @param {View} view
 */
export function queryOf(view) {
  const query = new URLSearchParams();
  if (view.page !== "overview") query.set("page", view.page);
  query.set("span", view.span);
  if (view.span === "custom") {
    query.set("from", view.from);
    query.set("to", view.to);
  }
  if (view.interval !== "auto") query.set("interval", view.interval);
  query.set("zone", view.zone);
  if (view.page === "breakdown") query.set("by", view.by);
  if (view.page === "customers") query.set("order", view.order);
  if (Object.hasOwn(DETAILS, view.page)) query.set("id", view.id);
  if (view.page === "events" && view.after !== "") query.set("after", view.after);
  for (const name of DIMENSION_NAMES) {
    for (const value of view.filters[name]) query.append(name, value);
  }
  for (const { key, value } of view.members) query.append(`metadata[${key}]`, value);
  return `?${query}`;
}

/**
 * The days of a view at a moment.
 * @param {View} view
 * @param {Date} now
 * @returns {Days}
 */
export function daysOf(view, now) {
  const end = today(view.zone, now);
  const [year = "", month = ""] = end.split("-");
  switch (view.span) {
    case "custom":
      return { start: view.from, end: view.to };
    case "today":
      return { start: end, end };
    case "month":
      return { start: `${year}-${month}-01`, end };
    case "quarter": {
      const first = Math.floor((Number(month) - 1) / 3) * 3 + 1;
      return { start: `${year}-${String(first).padStart(2, "0")}-01`, end };
    }
    case "year":
      return { start: `${year}-01-01`, end };
    default:
      return { start: addDays(end, 1 - Number.parseInt(view.span, 10)), end };
  }
}

/**
 * As many days, right before.
 * @param {Days} days
 * @returns {Days}
 */
export function daysBefore(days) {
  const end = addDays(days.start, -1);
  return { start: addDays(end, 1 - length(days)), end };
}

/**
 * The number of days.
 * @param {Days} days
 */
export function length({ start, end }) {
  return (Date.parse(end) - Date.parse(start)) / 86_400_000 + 1;
}

/**
 * The interval that an automatic one is for some days.
 * @param {View} view
 * @param {Days} days
 */
export function intervalOf(view, days) {
  if (view.interval !== "auto") return view.interval;
  const count = length(days);
  if (count <= 2) return "hour";
  if (count <= 100) return "day";
  return count <= 400 ? "week" : "month";
}

/**
 * The part of a `GetMetricsRequest` that a view says.
 * @param {View} view
 * @param {Days} days
 * @param {string} interval
 */
export function requestOf(view, days, interval) {
  return {
    startDate: days.start,
    endDate: days.end,
    timezone: view.zone,
    interval: `INTERVAL_${interval.toUpperCase()}`,
    ...filtersOf(view),
  };
}

/**
 * The part of a request, for metrics or for a list of events, that the filters by dimensions say.
 * @param {View} view
 * @returns {Record<string, string[]>}
 */
export function filtersOf(view) {
  /** @type {Record<string, string[]>} */
  const filters = { ...customersOf(view) };
  for (const name of DIMENSION_NAMES) {
    if (name !== "customer" && view.filters[name].length > 0) filters[DIMENSIONS[name].field] = view.filters[name];
  }
  return filters;
}

/**
 * The part of a request for a list of events that the filters by metadata say: any of the values of a
 * key, and all keys.
 * @param {View} view
 * @returns {{ metadata?: { key: string, values: string[] }[] }}
 */
export function membersOf({ members }) {
  if (members.length === 0) return {};
  const keys = [...new Set(members.map(({ key }) => key))];
  return {
    metadata: keys.map((key) => ({
      key,
      values: members.filter((member) => member.key === key).map(({ value }) => value),
    })),
  };
}

/** @param {Member} one @param {Member} other whether both are the same member */
export function isSame(one, other) {
  return one.key === other.key && one.value === other.value;
}

/**
 * The part of a request that a filter by customers says: a customer is found by either identifier.
 * @param {View} view
 * @returns {{ externalCustomerIds?: string[], customerIds?: string[] }}
 */
export function customersOf({ filters: { customer } }) {
  const ids = customer.filter((value) => UUID.test(value));
  return {
    ...(customer.length > 0 ? { externalCustomerIds: customer } : {}),
    ...(ids.length > 0 ? { customerIds: ids } : {}),
  };
}

/**
 * The part of a request for a list that some days say.
 * @param {Days} days
 * @param {string} zone
 * @returns {{ startTime: string, endTime: string }}
 */
export function boundsOf({ start, end }, zone) {
  return { startTime: beginning(start, zone), endTime: beginning(addDays(end, 1), zone) };
}

/** The beginnings of days that were asked for. @type {Map<string, string>} */
const BEGINNINGS = new Map();

/**
 * The first second of a day in a time zone, found by halves: no browser tells it.
 * @param {string} day
 * @param {string} zone
 */
function beginning(day, zone) {
  const key = `${day} ${zone}`;
  let found = BEGINNINGS.get(key);
  if (found === undefined) {
    const midnight = Date.parse(day) / 1_000;
    let before = midnight - 2 * DAY_S;
    let after = midnight + 2 * DAY_S;
    while (after - before > 1) {
      const middle = Math.floor((before + after) / 2);
      if (today(zone, new Date(middle * 1_000)) < day) before = middle;
      else after = middle;
    }
    found = new Date(after * 1_000).toISOString();
    BEGINNINGS.set(key, found);
  }
  return found;
}

/**
 * Says what is shown, and of which days.
 * @param {string} what such as `Costs by model`
 * @param {View} view
 * @param {Date} now
 */
export function labelOf(what, view, now) {
  const { start, end } = daysOf(view, now);
  const days = start === end ? start : `${start} to ${end}`;
  return `${what}, ${days}${isFiltered(view) ? ", filtered" : ""}`;
}

/**
 * The `ExportMetricsRequest` of all costs of a view in full detail.
 * @param {View} view
 * @param {Date} now
 */
export function focusRequest(view, now) {
  const request = /** @type {Record<string, unknown>} */ (requestOf(view, daysOf(view, now), "day"));
  const { interval, ...metrics } = request;
  return { metrics, format: "EXPORT_FORMAT_FOCUS" };
}

/**
 * The page of one customer, by either identifier.
 * @param {View} view
 * @param {string} id
 * @returns {View}
 */
export function customerView(view, id) {
  return { ...view, page: "customer", id, filters: { ...view.filters, customer: [] } };
}

/** @param {View} view whether it shows a part of the events only */
export function isFiltered(view) {
  return DIMENSION_NAMES.some((name) => view.filters[name].length > 0) || (view.page === "events" && view.members.length > 0);
}

/** @param {string} text whether it names a time zone that the browser knows */
export function isZone(text) {
  try {
    return text !== "" && Boolean(new Intl.DateTimeFormat("en", { timeZone: text }));
  } catch {
    return false;
  }
}

/** @param {string} zone @param {Date} now */
function today(zone, now) {
  return new Intl.DateTimeFormat("en-CA", { timeZone: zone, dateStyle: "short" }).format(now);
}

/** @param {string} day @param {number} count */
function addDays(day, count) {
  return new Date(Date.parse(day) + count * 86_400_000).toISOString().slice(0, 10);
}

/** @param {string} text */
function isDay(text) {
  return /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(text));
}

/** @param {string | null} text @param {Record<string, unknown>} allowed @param {string} other */
function oneOf(text, allowed, other) {
  return text !== null && Object.hasOwn(allowed, text) ? text : other;
}

// Calls the compatible API with an SDK of Node, as it is published.
//
// node sdk.js MODULE
//
// MODULE is what a program would import, such as @polar-sh/sdk/2026-10. Each line of
// standard input is a call: {"url", "token", "call", "arguments"}, where names and times
// are those of HTTP; they are turned into what the SDK takes. Prints a line for each:
// {"answer"}, or {"error"} with what the SDK threw.
"use strict";

const readline = require("node:readline");

const [name] = process.argv.slice(2);
const sdk = require(name);

// The items of all pages, read as the SDK does it by itself.
async function everyItem(pages) {
  const items = [];
  for await (const page of await pages) items.push(...(page.result?.items ?? [page]));
  return items;
}

// Version 1: names are those of HTTP, and times are text.
const CALLS_1 = {
  "customers.create": (client, body) => client.customers.create(body),
  "customers.every": (client, query) => everyItem(client.customers.iterList(query)),
  "customers.get": (client, { id }) => client.customers.get(id),
  "customers.get_external": (client, { external_id }) => client.customers.getExternal(external_id),
  "customers.list": (client, query) => client.customers.list(query),
  "event_types.every": (client, query) => everyItem(client.eventTypes.iterList(query)),
  "event_types.list": (client, query) => client.eventTypes.list(query),
  "event_types.update": (client, { id, ...body }) => client.eventTypes.update(id, body),
  "events.every_name": (client, query) => everyItem(client.events.iterListNames(query)),
  "events.get": (client, { id }) => client.events.get(id),
  "events.ingest": (client, body) => client.events.ingest(body),
  "events.list": (client, query) => client.events.list(query),
  "events.list_names": (client, query) => client.events.listNames(query),
  "metrics.create_dashboard": (client, body) => client.metrics.createDashboard(body),
  "metrics.delete_dashboard": (client, { id }) => client.metrics.deleteDashboard(id),
  "metrics.get_dashboard": (client, { id }) => client.metrics.getDashboard(id),
  "metrics.list_dashboards": (client, query) => client.metrics.listDashboards(query),
  "metrics.update_dashboard": (client, { id, ...body }) => client.metrics.updateDashboard(id, body),
  "meters.list": (client, query) => client.meters.list(query),
  "metrics.export": (client, query) => client.metrics.export(query),
  "metrics.get": (client, query) => client.metrics.get(query),
  "metrics.limits": (client) => client.metrics.limits(),
};

// Versions 0.x: names are in camel case, times are dates, and some lists are iterators of pages.
const CALLS_0 = {
  "customers.create": (client, body) => client.customers.create(body),
  "customers.every": (client, query) => everyItem(client.customers.list(query)),
  "customers.get": (client, query) => client.customers.get(query),
  "customers.get_external": (client, query) => client.customers.getExternal(query),
  "customers.list": (client, query) => client.customers.list(query),
  "event_types.every": (client, query) => everyItem(client.eventTypes.list(query)),
  "event_types.list": (client, query) => client.eventTypes.list(query),
  "event_types.update": (client, { id, ...eventTypeUpdate }) =>
    client.eventTypes.update({ id, eventTypeUpdate }),
  "events.every": (client, query) => everyItem(client.events.list(query)),
  "events.every_name": (client, query) => everyItem(client.events.listNames(query)),
  "events.get": (client, query) => client.events.get(query),
  "events.ingest": (client, body) => client.events.ingest(body),
  "events.list": (client, query) => client.events.list(query),
  "events.list_names": (client, query) => client.events.listNames(query),
  "metrics.create_dashboard": (client, body) => client.metrics.createDashboard(body),
  "metrics.delete_dashboard": (client, query) => client.metrics.deleteDashboard(query),
  "metrics.get_dashboard": (client, query) => client.metrics.getDashboard(query),
  "metrics.list_dashboards": (client, query) => client.metrics.listDashboards(query),
  "metrics.update_dashboard": (client, { id, ...metricDashboardUpdate }) =>
    client.metrics.updateDashboard({ id, metricDashboardUpdate }),
  "meters.list": (client, query) => client.meters.list(query),
  "metrics.export": (client, query) => client.metrics.export(query),
  "metrics.get": (client, query) => client.metrics.get(query),
  "metrics.limits": (client) => client.metrics.limits(),
};

function call1({ url, token, call, arguments: given }) {
  return CALLS_1[call](sdk.createPolar({ accessToken: token, baseUrl: url }), given);
}

async function call0({ url, token, call, arguments: given }) {
  const client = new sdk.Polar({ accessToken: token, serverURL: url });
  const answer = await CALLS_0[call](client, camelCase(given));
  return snakeCase(answer?.result ?? answer);
}

function camelCase(value) {
  if (Array.isArray(value)) return value.map(camelCase);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => {
      const named = key.replace(/([a-z])_([a-z])/g, (_, before, after) => before + after.toUpperCase());
      return [named, inCamelCase(key, one)];
    }),
  );
}

function inCamelCase(key, value) {
  switch (key) {
    case "timestamp":
    case "start_timestamp":
    case "end_timestamp":
      return new Date(value);
    case "start_date":
    case "end_date": {
      const { RFCDate } = require(`${name}/types/rfcdate.js`);
      return new RFCDate(value);
    }
    case "metadata":
      // The keys are the caller's own, but for those of _llm.
      return "_llm" in value ? { ...value, _llm: camelCase(value._llm) } : value;
    default:
      return camelCase(value);
  }
}

function snakeCase(value) {
  if (Array.isArray(value)) return value.map(snakeCase);
  // Dates write themselves.
  if (typeof value !== "object" || value === null || "toJSON" in value) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [
      key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      snakeCase(one),
    ]),
  );
}

function thrown(error) {
  return {
    class: error.constructor.name,
    message: error.message,
    status: error.statusCode,
    body: error.body ?? error.error,
    // What a caller of version 0.x reads in the body and the headers has a field in version 1.
    detail: error.detail ?? error.error?.detail,
    retry_after: error.retryAfter ?? error.headers?.get("retry-after"),
  };
}

async function outcome(step) {
  try {
    return { answer: await ("createPolar" in sdk ? call1(step) : call0(step)) };
  } catch (error) {
    return { error: thrown(error) };
  }
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await outcome(JSON.parse(line))));
  }
}

main();

// Sends events to Cost Insights and asks what they cost.
"use strict";

const { readFileSync } = require("node:fs");
const { setTimeout: sleep } = require("node:timers/promises");
const grpc = require("@grpc/grpc-js");
const { call, clientOf, close } = require("./connect");
const { show } = require("./errors");
const { struct, timestamp } = require("./values");

const USAGE = `node costs.js ingest               sends two events
node costs.js stream ID            sends a thousand events as a stream, and goes on where it broke
node costs.js metrics START END    shows the costs of each customer, such as of 2026-11-01 to 2026-11-30
node costs.js call METHOD FILE...  sends requests in JSON, each to its method, and shows the answers`;

const BATCHES = 20;
const EVENTS_PER_BATCH = 50;
const ATTEMPTS_MAX = 10;
const PASSING = new Set([grpc.status.UNAVAILABLE, grpc.status.RESOURCE_EXHAUSTED]);

/** Sends two events. Their external ids make it safe to send them again: each counts once. */
async function ingest() {
  const events = [
    {
      name: "llm.inference",
      external_customer_id: "user_123",
      external_id: "example-1",
      timestamp: timestamp(new Date("2026-11-23T12:00:00.250Z")),
      cost: { amount: "0.025", currency: "usd" },
      llm: { vendor: "openai", model: "gpt-4", input_tokens: 57, output_tokens: 123 },
      metadata: struct({ region: "eu", attempts: 2, cached: true }),
    },
    {
      name: "email.sent",
      external_customer_id: "user_456",
      external_id: "example-2",
      timestamp: timestamp(new Date("2026-11-23T12:00:01Z")),
      cost: { amount: "0.0001", currency: "usd" },
    },
  ];
  const answer = await call("cost_insights.v1.EventService", "IngestEvents", { events });
  const { inserted, duplicates, conflicts } = answer;
  console.log(`inserted ${inserted}, duplicates ${duplicates}, conflicts ${conflicts.length}`);
}

/** The events of a batch. A batch that is sent again must be the same. */
function batch(sequence) {
  const start = Date.parse("2026-11-15T12:00:00Z");
  const events = Array.from({ length: EVENTS_PER_BATCH }, (_, index) => {
    const number = (sequence - 1) * EVENTS_PER_BATCH + index;
    return {
      name: "llm.inference",
      external_customer_id: `user_${number % 4}`,
      timestamp: timestamp(new Date(start + number * 1000)),
      cost: { amount: `0.${String(number).padStart(4, "0")}`, currency: "usd" },
    };
  });
  return { events };
}

/** Sends the batches after the last acknowledged one, and resolves when all are acknowledged. */
function send(client, streamId, done) {
  return new Promise((resolve, reject) => {
    const stream = client.StreamEvents();
    let next = done.sequence + 1;
    function write() {
      while (next <= BATCHES) {
        const isReady = stream.write({ stream_id: streamId, sequence: next, batch: batch(next) });
        next += 1;
        // What is written faster than it is sent would be kept in memory.
        if (!isReady) return stream.once("drain", write);
      }
      return stream.end();
    }
    stream.on("data", (answer) => {
      if (answer.outcome === "error") {
        stream.cancel();
        return reject(Object.assign(new Error(answer.error.message), { status: answer.error }));
      }
      done.sequence = Number(answer.sequence);
      done.events += answer.batch.inserted + answer.batch.duplicates;
    });
    stream.on("error", reject);
    stream.on("end", resolve);
    write();
  });
}

/**
 * Sends all batches. When the connection breaks or the service has too much to do, another stream
 * sends those that were not acknowledged again, under the same id and with the same sequences: each
 * event counts once, though a batch may have been stored whose acknowledgement was lost.
 */
async function stream(streamId) {
  const client = clientOf("cost_insights.v1.EventService");
  const done = { sequence: 0, events: 0 };
  for (let attempt = 1; ; attempt++) {
    try {
      await send(client, streamId, done);
      break;
    } catch (error) {
      if (!PASSING.has(error.code) || attempt === ATTEMPTS_MAX) throw error;
      console.error(`the stream broke after batch ${done.sequence}: ${error.details}`);
      await sleep(100);
    }
  }
  console.log(`acknowledged ${done.sequence} batches of ${done.events} events`);
}

/** Shows the costs of each customer in a span of days. */
async function metrics(start, end) {
  const answer = await call("cost_insights.v1.MetricsService", "GetMetrics", {
    start_date: start,
    end_date: end,
    interval: "INTERVAL_MONTH",
    metrics: ["costs"],
    group_by: "GROUP_BY_CUSTOMER",
    groups_max: 20,
  });
  for (const group of answer.groups) {
    console.log(`${group.others ? "others" : group.value}: ${group.totals.costs}`);
  }
  console.log(`all: ${answer.totals.costs}`);
}

/** Sends requests in JSON to any RPCs with one request and one answer. */
async function callAll(...methodsAndFiles) {
  for (let index = 0; index < methodsAndFiles.length; index += 2) {
    await callOnce(methodsAndFiles[index], methodsAndFiles[index + 1]);
  }
}

/** Sends the request in a file to a method, such as SERVICE/METHOD. */
async function callOnce(path, file) {
  const [name, method] = path.split("/");
  const request = JSON.parse(readFileSync(file, "utf8"), (key, value) => {
    if (key === "metadata") return struct(value);
    if (key === "timestamp" || key.endsWith("_time")) return timestamp(new Date(value));
    return value;
  });
  console.log(JSON.stringify(await call(name, method, request)));
}

const COMMANDS = { ingest, stream, metrics, call: callAll };

/** Whether the arguments are those of the command. */
function fits(name, count) {
  if (name === "call") return count > 0 && count % 2 === 0;
  return Object.hasOwn(COMMANDS, name) && COMMANDS[name].length === count;
}

async function main([name = "", ...values]) {
  if (!fits(name, values.length)) {
    console.error(USAGE);
    process.exitCode = 2;
    return;
  }
  try {
    await COMMANDS[name](...values);
  } catch (error) {
    show(error);
    process.exitCode = 1;
  }
  close();
}

main(process.argv.slice(2));

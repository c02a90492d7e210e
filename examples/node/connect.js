// Calls the service that the environment describes:
//
//   COST_INSIGHTS_GRPC_ADDRESS    HOST:PORT; 127.0.0.1:50051 unless set
//   COST_INSIGHTS_TOKEN           the access token, if the service wants one
//   COST_INSIGHTS_TLS             true for TLS with the authorities of the system
//   COST_INSIGHTS_CA              a file of authorities, for TLS with these
"use strict";

const { readFileSync } = require("node:fs");
const path = require("node:path");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const FILES = [
  "cost_insights/v1/event_service.proto",
  "cost_insights/v1/metrics_service.proto",
  "cost_insights/v1/revenue_service.proto",
  // For the details of errors.
  "google/rpc/error_details.proto",
  "google/rpc/status.proto",
];

const definition = loader.loadSync(FILES, {
  includeDirs: [path.join(__dirname, "protos")],
  // The names of fields as they are documented.
  keepCase: true,
  // Numbers of 64 bits and enums as text, and a field that was not sent as 0, "" or [].
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
  // Messages inside google.protobuf.Any are decoded, which the details of errors are.
  json: true,
});
const packages = grpc.loadPackageDefinition(definition);

function transport() {
  const { COST_INSIGHTS_CA: authorities, COST_INSIGHTS_TLS: tls } = process.env;
  if (authorities) return grpc.credentials.createSsl(readFileSync(authorities));
  return tls === "true" ? grpc.credentials.createSsl() : grpc.credentials.createInsecure();
}

/** Adds the access token to each call; call credentials would do so with TLS alone. */
function accessToken(options, nextCall) {
  return new grpc.InterceptingCall(nextCall(options), {
    start(metadata, listener, next) {
      const token = process.env.COST_INSIGHTS_TOKEN;
      if (token) metadata.set("authorization", `Bearer ${token}`);
      next(metadata, listener);
    },
  });
}

const clients = new Map();

/** A client of a service, such as of cost_insights.v1.EventService. */
function clientOf(name) {
  if (!clients.has(name)) {
    const Client = name.split(".").reduce((found, part) => found?.[part], packages);
    if (!Client) throw new Error(`there is no service ${name}`);
    const address = process.env.COST_INSIGHTS_GRPC_ADDRESS || "127.0.0.1:50051";
    clients.set(name, new Client(address, transport(), { interceptors: [accessToken] }));
  }
  return clients.get(name);
}

/** The answer of an RPC to one request. */
function call(name, method, request) {
  const client = clientOf(name);
  return new Promise((resolve, reject) => {
    client[method](request, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

function close() {
  for (const client of clients.values()) client.close();
}

const statusType = /** @type {loader.MessageTypeDefinition} */ (definition["google.rpc.Status"]);

/** A google.rpc.Status, from its bytes. */
const decodeStatus = (bytes) => statusType.deserialize(bytes);

module.exports = { call, clientOf, close, decodeStatus };

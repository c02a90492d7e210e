"use strict";

const grpc = require("@grpc/grpc-js");
const { decodeStatus } = require("./connect");

/** What a failed call says; grpc-js leaves the details in the trailer, as bytes. */
function statusOf(error) {
  if (error.status) return error.status;
  const [bytes] = error.metadata?.get("grpc-status-details-bin") ?? [];
  return bytes ? decodeStatus(bytes) : { code: error.code, message: error.details, details: [] };
}

function milliseconds({ seconds, nanos }) {
  return Number(seconds) * 1000 + nanos / 1e6;
}

/** Prints what an error says: the code, why, which fields are wrong, and when to try again. */
function show(error) {
  if (!error.status && error.code === undefined) throw error;
  const status = statusOf(error);
  console.log(`${grpc.status[status.code]}: ${status.message}`);
  for (const detail of status.details) {
    switch (detail["@type"]) {
      case "type.googleapis.com/google.rpc.ErrorInfo":
        console.log("reason", detail.reason);
        break;
      case "type.googleapis.com/google.rpc.BadRequest":
        for (const fault of detail.field_violations) {
          console.log(`fault ${fault.field}: ${fault.description}`);
        }
        break;
      case "type.googleapis.com/google.rpc.RetryInfo":
        console.log(`retry after ${milliseconds(detail.retry_delay)} ms`);
        break;
    }
  }
}

module.exports = { show };

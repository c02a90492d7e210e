// Sends events as a Node program does that loads the protos with @grpc/proto-loader.
//
// node ingest.js ADDRESS EVENTS FOLDER...
//
// EVENTS is an expression of JavaScript, since JSON has no Date; the protos are in
// the folders. Prints the answer as JSON, or the words of the error.
"use strict";

const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [address, events, ...includeDirs] = process.argv.slice(2);
const definition = loader.loadSync("cost_insights/v1/event_service.proto", { includeDirs, keepCase: true });
const { EventService } = grpc.loadPackageDefinition(definition).cost_insights.v1;
const client = new EventService(address, grpc.credentials.createInsecure());

client.IngestEvents({ events: eval(events) }, (error, answer) => {
  console.log(error === null ? JSON.stringify(answer) : error.details);
  client.close();
});

// A page that asks Cost Insights what customers cost, by the Connect protocol.
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { ExportFormat, GroupBy, Interval, MetricsService } from "../gen/cost_insights/v1/metrics_service_pb.js";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../gen/google/rpc/error_details_pb.js";

/** A client that sends the access token with each call. */
function connect(url, token) {
  const authorize = (next) => (request) => {
    if (token) request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
  return createClient(MetricsService, createConnectTransport({ baseUrl: url, interceptors: [authorize] }));
}

/** Shows the costs of each customer, and the same as the rows of a file, as they arrive. */
async function show(client, question) {
  const answer = await client.getMetrics(question);
  const rows = answer.groups.map((group) => [group.others ? "others" : group.value, group.totals.costs]);
  const cells = [...rows, ["all", answer.totals.costs]].map((row) => {
    const line = document.createElement("tr");
    line.append(...row.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
    return line;
  });
  document.getElementById("costs").replaceChildren(...cells);
  const file = document.getElementById("rows");
  for await (const part of client.exportMetrics({ metrics: question, format: ExportFormat.CSV })) {
    file.append(part.rows);
  }
}

/** What an error says: the code, why, which fields are wrong, and when to try again. */
function describe(thrown) {
  const error = ConnectError.from(thrown);
  const lines = [`${Code[error.code]}: ${error.rawMessage}`];
  for (const { reason } of error.findDetails(ErrorInfoSchema)) lines.push(`reason ${reason}`);
  for (const { fieldViolations } of error.findDetails(BadRequestSchema)) {
    for (const fault of fieldViolations) lines.push(`fault ${fault.field}: ${fault.description}`);
  }
  for (const { retryDelay } of error.findDetails(RetryInfoSchema)) {
    // Numbers of 64 bits are a `bigint`.
    lines.push(`retry after ${Number(retryDelay.seconds) * 1000 + retryDelay.nanos / 1e6} ms`);
  }
  return lines;
}

const form = document.forms.namedItem("question");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { url, token, start, end } = Object.fromEntries(new FormData(form));
  for (const id of ["costs", "rows", "error"]) document.getElementById(id).replaceChildren();
  const question = {
    startDate: start,
    endDate: end,
    interval: Interval.MONTH,
    metrics: ["costs"],
    groupBy: GroupBy.CUSTOMER,
    groupsMax: 20,
  };
  try {
    await show(connect(url, token), question);
  } catch (error) {
    const lines = describe(error).map((text) =>
      Object.assign(document.createElement("li"), { textContent: text }),
    );
    document.getElementById("error").replaceChildren(...lines);
  }
});

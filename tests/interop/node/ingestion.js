// Reports what a program uses, by the strategies of @polar-sh/ingestion as it is published.
//
// node ingestion.js STRATEGY URL TOKEN
//
// Prints as JSON what the strategy measured, where that differs from run to run. A report that
// is refused ends most strategies' program, since they do not wait for it.
"use strict";

const http = require("node:http");
const { Readable } = require("node:stream");

const { Ingestion, PolarTraceExporter } = require("@polar-sh/ingestion");

const [strategy, serverURL, accessToken] = process.argv.slice(2);
const config = { serverURL, accessToken };
const ingestion = Ingestion(config);
const customer = { externalCustomerId: "user_123" };

// As its documentation has it: prices are doubles, and the currency is in capitals.
const price = ({ inputTokens, outputTokens }) => ({
  amount: (inputTokens / 1000) * 3 + (outputTokens / 1000) * 6,
  currency: "USD",
});

// A model that answers at once; whose model it is makes no difference to the strategy.
function model() {
  const { MockLanguageModelV2, simulateReadableStream } = require("ai/test");
  const usage = { inputTokens: 1, outputTokens: 7, totalTokens: 8 };
  const chunks = [
    { type: "stream-start", warnings: [] },
    { type: "text-start", id: "1" },
    { type: "text-delta", id: "1", delta: "Hello" },
    { type: "text-end", id: "1" },
    { type: "finish", finishReason: "stop", usage },
  ];
  return new MockLanguageModelV2({
    provider: "openai.responses",
    modelId: "gpt-4o",
    doGenerate: { content: [{ type: "text", text: "Hello" }], finishReason: "stop", usage, warnings: [] },
    doStream: { stream: simulateReadableStream({ chunks }) },
  });
}

function measuredModel() {
  const { LLMStrategy } = require("@polar-sh/ingestion/strategies/LLM");
  return ingestion.strategy(new LLMStrategy(model())).cost(price).ingest("llm").client(customer);
}

const STRATEGIES = {
  async batch() {
    const events = ["first", "second"].map((name) => ({
      ...customer,
      name,
      externalId: name,
      metadata: { _cost: { amount: 0.1 + 0.2, currency: "usd" } },
    }));
    return await ingestion.ingest(events);
  },

  async generate() {
    const { generateText } = require("ai");
    return (await generateText({ model: measuredModel(), prompt: "Hi" })).text;
  },

  async stream() {
    const { streamText } = require("ai");
    return await streamText({ model: measuredModel(), prompt: "Hi" }).text;
  },

  async s3() {
    const { S3Client, PutObjectCommand } = require("@aws-sdk/client-s3");
    const { S3Strategy } = require("@polar-sh/ingestion/strategies/S3");
    const storage = http.createServer((request, answer) => request.resume().on("end", () => answer.end()));
    await new Promise((listening) => storage.listen(0, "127.0.0.1", listening));
    const s3 = new S3Client({
      endpoint: `http://127.0.0.1:${storage.address().port}`,
      region: "eu-central-1",
      forcePathStyle: true,
      credentials: { accessKeyId: "id", secretAccessKey: "secret" },
    });
    const measured = ingestion
      .strategy(new S3Strategy(s3))
      .cost(({ bytes }) => ({ amount: bytes * 0.1, currency: "USD" }))
      .ingest("s3")
      .client(customer);
    await measured.send(
      new PutObjectCommand({
        Bucket: "my-bucket",
        Key: "my-key",
        Body: JSON.stringify({ hello: "world" }),
        ContentType: "application/json",
      }),
    );
    measured.destroy();
    storage.close();
  },

  async bytes() {
    const { StreamStrategy } = require("@polar-sh/ingestion/strategies/Stream");
    const measured = ingestion
      .strategy(new StreamStrategy(Readable.from([Buffer.from("hello "), Buffer.from("world")])))
      .ingest("bytes", ({ bytes }) => ({ bytes, kind: "greeting" }))
      .client(customer);
    for await (const chunk of measured) void chunk;
  },

  async time() {
    const { DeltaTimeStrategy } = require("@polar-sh/ingestion/strategies/DeltaTime");
    const begin = ingestion
      .strategy(new DeltaTimeStrategy(() => performance.now()))
      .cost(({ deltaTime }) => ({ amount: deltaTime * 0.001, currency: "USD" }))
      .ingest("time")
      .client(customer);
    const end = begin();
    await new Promise((passed) => setTimeout(passed, 20));
    const deltaTime = end();
    return { deltaTime, amount: deltaTime * 0.001 };
  },

  async opentelemetry() {
    const { BasicTracerProvider, SimpleSpanProcessor } = require("@opentelemetry/sdk-trace-base");
    const { context, trace } = require("@opentelemetry/api");
    const provider = new BasicTracerProvider({
      spanProcessors: [new SimpleSpanProcessor(new PolarTraceExporter(config))],
    });
    const tracer = provider.getTracer("program");
    const attributes = { externalCustomerId: "user_123", region: "eu", tokens: 7, cached: true, parts: ["a"] };
    const parent = tracer.startSpan("request", { attributes });
    const child = tracer.startSpan("lookup", { attributes }, trace.setSpan(context.active(), parent));
    // The child is sent before its parent.
    child.end();
    await provider.forceFlush();
    parent.end();
    await provider.forceFlush();
    return { parent: parent.spanContext().spanId, child: child.spanContext().spanId };
  },
};

STRATEGIES[strategy]().then((measured) => console.log(JSON.stringify(measured ?? null)));

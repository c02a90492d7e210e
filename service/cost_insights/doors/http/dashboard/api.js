// Calls of the service: the JSON form of its RPCs, and the session of this browser.

/**
 * A failed call, in words for people.
 */
export class CallError extends Error {
  /**
   * @param {string} code the code of the RPC, such as `unauthenticated`; `unavailable` if the
   *   service was not reached
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    this.name = "CallError";
    this.code = code;
  }
}

/** @typedef {{
 *   organization: string | null,
 *   scopes: string[],
 *   signed_in: boolean,
 *   expires: string | null,
 *   detail: string,
 * }} Session
 */

/** @typedef {{
 *   rpc: string,
 *   request: object,
 *   isOptional?: boolean,
 * }} Question a call of an RPC; the page also shows what it has where an optional one is not
 *   permitted
 */

/** The header by which the service knows its own page. */
const FROM_PAGE = { "connect-protocol-version": "1" };

const SESSION = "dashboard/session";

/** The bytes before each message of a stream: flags, and the size of the message. */
const PREFIX_BYTES = 5;

/** The flag of the message that ends a stream. */
const IS_LAST = 2;

/** @type {Record<number, string>} */
const CODES = { 400: "invalid_argument", 401: "unauthenticated", 403: "permission_denied", 429: "resource_exhausted", 503: "unavailable" };

/**
 * Calls an RPC, such as `MetricsService/GetMetrics`.
 * @param {string} rpc
 * @param {object} request the message in its JSON form
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>} the answer in its JSON form
 */
export async function call(rpc, request, signal) {
  const answer = await send(`cost_insights.v1.${rpc}`, "POST", request, signal);
  return answer.json();
}

/**
 * Asks a question; an optional one that is not permitted has the answer `{denied}`, with the reason
 * in words.
 * @param {Question} question
 * @param {AbortSignal} signal
 * @returns {Promise<any>} the answer in its JSON form
 */
export async function ask({ rpc, request, isOptional }, signal) {
  try {
    return await call(rpc, request, signal);
  } catch (error) {
    if (isOptional && error instanceof CallError && error.code === "permission_denied") {
      return { denied: error.message };
    }
    throw error;
  }
}

/**
 * @param {object} request
 * @returns {Question} for metrics
 */
export function metricsQuestion(request) {
  return { rpc: "MetricsService/GetMetrics", request };
}

/**
 * Calls an RPC that answers with a stream, such as `MetricsService/ExportMetrics`.
 * @param {string} rpc
 * @param {object} request the message in its JSON form
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<any>} the messages of the answer in their JSON form
 */
export async function* stream(rpc, request, signal) {
  const answer = await send(`cost_insights.v1.${rpc}`, "POST", request, signal, "application/connect+json");
  const reader = /** @type {ReadableStream<Uint8Array<ArrayBuffer>>} */ (answer.body).getReader();
  let pending = new Uint8Array(0);
  for (;;) {
    const { done, value } = await read(reader, signal);
    if (done) throw new CallError("unavailable", "The answer of the service broke off.");
    pending = joined(pending, value);
    while (pending.length >= PREFIX_BYTES) {
      const prefix = new DataView(pending.buffer, pending.byteOffset, PREFIX_BYTES);
      const end = PREFIX_BYTES + prefix.getUint32(1);
      if (pending.length < end) break;
      const message = JSON.parse(new TextDecoder().decode(pending.subarray(PREFIX_BYTES, end)));
      if (prefix.getUint8(0) & IS_LAST) {
        if (message.error) throw new CallError(message.error.code, message.error.message ?? "The call failed.");
        return;
      }
      yield message;
      pending = pending.subarray(end);
    }
  }
}

/** @returns {Promise<Session>} who this browser acts as */
export async function readSession() {
  return (await send(SESSION, "GET")).json();
}

/**
 * Exchanges an access token for a session.
 * @param {string} token
 */
export async function signIn(token) {
  await send(SESSION, "POST", { token });
}

/** Ends the session of this browser. */
export async function signOut() {
  await send(SESSION, "DELETE");
}

/**
 * @param {string} path relative to the page, which may lie below a path of a proxy
 * @param {string} method
 * @param {object} [body]
 * @param {AbortSignal} [signal]
 * @param {string} [type] the content-type of the body
 */
async function send(path, method, body, signal, type = "application/json") {
  /** @type {RequestInit} */
  const options = { method, headers: { ...FROM_PAGE }, signal: signal ?? null };
  if (body !== undefined) {
    options.headers = { ...FROM_PAGE, "content-type": type };
    const text = JSON.stringify(body);
    options.body = type === "application/json" ? text : enveloped(text);
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new CallError("unavailable", "The service cannot be reached.");
  }
  if (!answer.ok) throw await failure(answer);
  return answer;
}

/**
 * @param {Response} answer
 * @returns {Promise<CallError>}
 */
async function failure(answer) {
  /** @type {any} */
  let content = {};
  try {
    content = await answer.json();
  } catch {
    // What stands in front of the service may answer something else; the status is enough then.
  }
  const code = content.code ?? CODES[answer.status] ?? "unknown";
  const words = content.message ?? content.detail ?? `The service answered ${answer.status}.`;
  return new CallError(code, String(words));
}

/**
 * A message as the only one of a stream.
 * @param {string} text
 */
function enveloped(text) {
  const message = new TextEncoder().encode(text);
  const prefix = new Uint8Array(PREFIX_BYTES);
  new DataView(prefix.buffer).setUint32(1, message.length);
  return joined(prefix, message);
}

/**
 * @param {ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>} reader
 * @param {AbortSignal} signal
 */
async function read(reader, signal) {
  try {
    return await reader.read();
  } catch (error) {
    if (signal.aborted) throw error;
    throw new CallError("unavailable", "The service cannot be reached.");
  }
}

/** @param {Uint8Array<ArrayBuffer>} one @param {Uint8Array<ArrayBuffer>} other */
function joined(one, other) {
  const both = new Uint8Array(one.length + other.length);
  both.set(one);
  both.set(other, one.length);
  return both;
}

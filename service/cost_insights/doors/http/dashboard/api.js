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
 */
async function send(path, method, body, signal) {
  /** @type {RequestInit} */
  const options = { method, headers: { ...FROM_PAGE }, signal: signal ?? null };
  if (body !== undefined) {
    options.headers = { ...FROM_PAGE, "content-type": "application/json" };
    options.body = JSON.stringify(body);
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

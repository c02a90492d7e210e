// Answers that stay fresh: asked for again every few seconds while somebody looks.

import { ask } from "./api.js";

const REFRESH_MS = 5_000;
const RETRY_MS_MAX = 60_000;

/** How many times as long as an answer takes the page waits at least before it asks again. */
const REST = 10;

/** Asks the same questions again and again, and tells only what is new. */
export class Live {
  /**
   * @param {() => import("./api.js").Question[]} questions what to ask now
   * @param {(answers: any[]) => void} onAnswers called if the answers differ from the last ones
   * @param {(error: Error) => void} onError
   */
  constructor(questions, onAnswers, onError) {
    this.questions = questions;
    this.onAnswers = onAnswers;
    this.onError = onError;
    this.told = "";
    this.failures = 0;
    this.timer = 0;
    this.isRunning = false;
    /** @type {AbortController | null} */
    this.asking = null;
  }

  /** Begins to ask. */
  start() {
    this.isRunning = true;
    document.addEventListener("visibilitychange", this.look);
    this.refresh();
  }

  /** Asks no more. */
  stop() {
    this.isRunning = false;
    document.removeEventListener("visibilitychange", this.look);
    this.asking?.abort();
    clearTimeout(this.timer);
  }

  look = () => {
    if (document.visibilityState === "visible") this.refresh();
    else clearTimeout(this.timer);
  };

  /** Asks at once; whatever was asked before no longer counts. */
  refresh = async () => {
    if (!this.isRunning) return;
    clearTimeout(this.timer);
    this.asking?.abort();
    const asking = new AbortController();
    this.asking = asking;
    const questions = this.questions();
    const began = performance.now();
    try {
      const answers = await Promise.all(questions.map((question) => ask(question, asking.signal)));
      if (asking.signal.aborted) return;
      const told = JSON.stringify([questions, answers]);
      if (told !== this.told || this.failures > 0) {
        this.told = told;
        this.onAnswers(answers);
      }
      this.failures = 0;
    } catch (error) {
      if (asking.signal.aborted) return;
      // The other questions of the same round are of no use any more.
      asking.abort();
      this.failures += 1;
      this.onError(/** @type {Error} */ (error));
    }
    if (!this.isRunning || document.visibilityState !== "visible") return;
    const wait = Math.min(
      Math.max(REFRESH_MS * 2 ** Math.max(0, this.failures - 1), REST * (performance.now() - began)),
      RETRY_MS_MAX,
    );
    this.timer = window.setTimeout(this.refresh, wait);
  };
}

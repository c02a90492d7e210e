// What every module of the page draws with: Preact, and templates in place of a build step.

import { Component, createElement, render } from "./vendor/preact.mjs";
import htm from "./vendor/htm.module.js";

/** Elements from a template such as html`<p class="note">${text}</p>`; text is never markup. */
export const html = htm.bind(createElement);

export { Component, render };

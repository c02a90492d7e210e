// What to do where nothing has happened yet.

import { html } from "./html.js";

/**
 * A message in place of numbers or lists: which call sends an event to this very address.
 * @param {{ isFiltered: boolean, signedIn: boolean }} props
 */
export function Empty({ isFiltered, signedIn }) {
  if (isFiltered) {
    return html`<p class="empty" role="status">Nothing in this span passes the filters. Remove one, or choose a longer span.</p>`;
  }
  const address = new URL("v1/events/ingest", document.baseURI).href;
  const authorization = signedIn ? ` --oauth2-bearer "$TOKEN"` : "";
  const body = `{"events": [{"name": "llm.inference", "external_customer_id": "user_123", "metadata": {"_cost": {"amount": 0.025, "currency": "usd"}}}]}`;
  return html`
    <section class="empty" role="status">
      <p>There are no events in this span yet. Choose a longer span, or send an event; it appears here within seconds:</p>
      <pre tabindex="0"><code>curl --fail-with-body ${address}${authorization} --json '${body}'</code></pre>
    </section>
  `;
}

// The next step, shown where nothing has happened yet.

import { html } from "./html.js";

/** The calls that send something, each with an example of what it takes. */
const CALLS = {
  events: {
    path: "v1/events/ingest",
    words: "There are no events in this span yet. Choose a longer span, or send an event; it appears here within seconds:",
    body: () => ({
      events: [
        {
          name: "llm.inference",
          external_customer_id: "user_123",
          metadata: { _cost: { amount: 0.025, currency: "usd" } },
        },
      ],
    }),
  },
  llm: {
    path: "v1/events/ingest",
    words: "There is no LLM call in this span yet. Choose a longer span, or send one; it appears here within seconds:",
    body: () => ({
      events: [
        {
          name: "llm.inference",
          external_customer_id: "user_123",
          metadata: {
            _cost: { amount: 0.025, currency: "usd" },
            _llm: { vendor: "openai", model: "gpt-4", input_tokens: 500, output_tokens: 120, total_tokens: 620 },
          },
        },
      ],
    }),
  },
  revenue: {
    path: "cost_insights.v1.RevenueService/RecordOrders",
    words: "There is no revenue in this span yet. Choose a longer span, or record an order; it appears here within seconds:",
    body: () => ({
      orders: [
        {
          order_id: "order_1",
          external_customer_id: "user_123",
          billing_type: "BILLING_TYPE_ONE_TIME",
          net_amount: { amount: "2900", currency: "usd" },
          created_time: new Date().toISOString(),
        },
      ],
    }),
  },
};

/**
 * A message in place of numbers or lists: which call sends what is missing to this very address.
 * @param {{ of?: "events" | "llm" | "revenue", isFiltered: boolean, signedIn: boolean }} props
 */
export function Empty({ of = "events", isFiltered, signedIn }) {
  if (isFiltered) {
    return html`<p class="empty" role="status">Nothing in this span passes the filters. Remove one, or choose a longer span.</p>`;
  }
  const { path, words, body } = CALLS[of];
  const address = new URL(path, document.baseURI).href;
  const authorization = signedIn ? ` --oauth2-bearer "$TOKEN"` : "";
  return html`
    <section class="empty" role="status">
      <p>${words}</p>
      <pre tabindex="0"><code>curl --fail-with-body ${address}${authorization} --json '${JSON.stringify(body())}'</code></pre>
    </section>
  `;
}

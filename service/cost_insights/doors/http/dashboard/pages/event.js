// One event with all that is stored of it.

import { html } from "../html.js";
import { Time } from "../lists.js";
import { count, exactDollars, plainDollars } from "../money.js";
import { Copy, ViewLink } from "../parts.js";
import { customerView } from "../state.js";

/** @typedef {import("../state.js").View} View */

/** @type {import("../app.js").Tools} */
export const tools = { dimensions: [], hasSpan: false, hasInterval: false };

/**
 * The question of the page.
 * @param {View} view
 * @returns {import("../api.js").Question[]}
 */
export function questions(view) {
  return [{ rpc: "EventService/GetEvent", request: { id: view.id } }];
}

/**
 * @param {import("../app.js").PageProps} props
 */
export function Page({ view, answers, onChange }) {
  const { event } = answers[0];
  const { cost, llm, metadata } = event;
  const members = Object.entries(metadata ?? {});
  return html`
    <p><${ViewLink} view=${{ ...view, page: "events" }} onChange=${onChange}>All events<//></p>
    <dl class="facts">
      <${Fact} name="Name"><bdi>${event.name}</bdi><//>
      <${Fact} name="Time"><${Time} time=${event.timestamp} zone=${view.zone} /> (${event.timestamp})<//>
      <${Fact} name="Customer">
        <${ViewLink} view=${customerView(view, event.externalCustomerId || event.customerId)} onChange=${onChange}>
          <bdi>${event.externalCustomerId || event.customerId}</bdi>
        <//>
      <//>
      <${Fact} name="Customer, by the service's identifier">${event.customerId}<//>
      <${Fact} name="Cost">
        ${cost
          ? html`
              <span class="amount" data-plain=${plainDollars(cost.amount)}>${exactDollars(cost.amount)}</span>${" "}
              (${cost.amount} cents) <${Copy} text=${plainDollars(cost.amount)} name="Copy the cost" />
            `
          : "None"}
      <//>
      ${event.productId && html`<${Fact} name="Product"><bdi>${event.productId}</bdi><//>`}
      ${event.externalId && html`<${Fact} name="Idempotency key"><bdi>${event.externalId}</bdi><//>`}
      ${event.externalMemberId && html`<${Fact} name="Member"><bdi>${event.externalMemberId}</bdi><//>`}
      ${event.parentId &&
      html`<${Fact} name="Caused by">
        <${ViewLink} view=${{ ...view, id: event.parentId }} onChange=${onChange}>${event.parentId}<//>
      <//>`}
    </dl>
    ${llm && html`<${Llm} llm=${llm} />`}
    ${members.length > 0 &&
    html`
      <h2>Metadata</h2>
      <dl class="facts">
        ${members.map(
          ([key, stored]) => {
            const value = typeof stored === "string" ? stored : JSON.stringify(stored);
            return html`
              <${Fact} key=${key} name=${key}>
                <${ViewLink} view=${{ ...view, page: "events", members: [{ key, value }] }} onChange=${onChange}><bdi>${value}</bdi><//>
              <//>
            `;
          },
        )}
      </dl>
    `}
    <details>
      <summary>JSON</summary>
      <${Copy} text=${JSON.stringify(event, null, 2)} name="Copy the event" />
      <pre tabindex="0"><code>${JSON.stringify(event, null, 2)}</code></pre>
    </details>
  `;
}

/** @param {{ llm: any }} props */
function Llm({ llm }) {
  const { cachedInputTokens } = llm;
  return html`
    <h2>LLM call</h2>
    <dl class="facts">
      <${Fact} name="Vendor"><bdi>${llm.vendor}</bdi><//>
      <${Fact} name="Model"><bdi>${llm.model}</bdi><//>
      <${Fact} name="Input tokens">${count(llm.inputTokens ?? "0")}<//>
      ${cachedInputTokens !== undefined && html`<${Fact} name="Cached input tokens">${count(cachedInputTokens)}<//>`}
      <${Fact} name="Output tokens">${count(llm.outputTokens ?? "0")}<//>
      <${Fact} name="All tokens">${count(llm.totalTokens ?? "0")}<//>
      ${llm.prompt && html`<${Fact} name="Prompt"><pre tabindex="0">${llm.prompt}</pre><//>`}
      ${llm.response && html`<${Fact} name="Response"><pre tabindex="0">${llm.response}</pre><//>`}
    </dl>
  `;
}

/** @param {{ name: string, children?: any }} props */
function Fact({ name, children }) {
  return html`<div><dt><bdi>${name}</bdi></dt><dd>${children}</dd></div>`;
}

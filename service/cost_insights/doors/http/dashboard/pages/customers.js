// Customers, by what they cost and earn.

import { Component, html } from "../html.js";
import { Ranking, rankingQuestions } from "../ranking.js";
import { ORDERS, customerView } from "../state.js";

/** @typedef {import("../state.js").View} View */

/**
 * The questions of the page.
 * @param {View} view
 * @param {Date} now
 * @returns {import("../api.js").Question[]}
 */
export function questions(view, now) {
  return rankingQuestions(view, "customer", ORDERS[view.order]?.rpc ?? "", now);
}

/**
 * @param {import("../app.js").PageProps} props
 */
export function Page({ view, answers, signedIn, onChange }) {
  const [answer, before] = answers;
  return html`
    <div class="choices" role="group" aria-label="Order">
      ${Object.entries(ORDERS).map(
        ([order, { name }]) => html`
          <button type="button" key=${order} aria-pressed=${String(order === view.order)} onClick=${() => onChange({ order })}>
            ${name}
          </button>
        `,
      )}
    </div>
    <${Search} onFound=${(/** @type {string} */ id) => onChange(customerView(view, id))} />
    <${Ranking}
      view=${view}
      dimension="customer"
      order=${ORDERS[view.order]?.rpc}
      answer=${answer}
      before=${before}
      signedIn=${signedIn}
      onChange=${onChange}
    />
  `;
}

/**
 * Leads to the page of a customer by either identifier, however little it cost.
 * @extends {Component<{ onFound: (id: string) => void }, { id: string }>}
 */
class Search extends Component {
  state = { id: "" };

  /** @param {SubmitEvent} event */
  submit = (event) => {
    event.preventDefault();
    this.props.onFound(this.state.id);
  };

  render() {
    return html`
      <form class="filter search" role="search" onSubmit=${this.submit}>
        <label class="inline">
          Customer
          <input
            placeholder="Either identifier"
            value=${this.state.id}
            autocomplete="off"
            spellcheck=${false}
            onInput=${(/** @type {any} */ event) => this.setState({ id: event.target.value })}
          />
        </label>
        <button type="submit" disabled=${this.state.id === ""}>Open</button>
      </form>
    `;
  }
}

// The page: signs in where that is needed, and shows who is signed in.

import { readSession, signOut } from "./api.js";
import { Component, html, render } from "./html.js";
import { SignIn } from "./pages/sign_in.js";

/**
 * @typedef {{ session: import("./api.js").Session | null, error: string }} State
 * @extends {Component<{}, State>}
 */
class App extends Component {
  /** @type {State} */
  state = { session: null, error: "" };

  componentDidMount() {
    this.refresh();
  }

  refresh = async () => {
    try {
      this.setState({ session: await readSession(), error: "" });
    } catch (error) {
      this.setState({ error: /** @type {Error} */ (error).message });
    }
  };

  leave = async () => {
    await signOut();
    await this.refresh();
  };

  render() {
    const { session, error } = this.state;
    if (error) {
      return html`<main>
        <p class="error" role="alert">${error}</p>
        <button type="button" onClick=${this.refresh}>Try again</button>
      </main>`;
    }
    if (session === null) return html`<p class="note" role="status">Loading …</p>`;
    if (session.organization === null) {
      return html`<${SignIn} reason="" onSignedIn=${this.refresh} />`;
    }
    return html`<main>
      <h1>Cost Insights</h1>
      <p>Organization: <strong>${session.organization}</strong></p>
      ${session.signed_in && html`<button type="button" onClick=${this.leave}>Sign out</button>`}
    </main>`;
  }
}

render(html`<${App} />`, /** @type {HTMLElement} */ (document.getElementById("app")));

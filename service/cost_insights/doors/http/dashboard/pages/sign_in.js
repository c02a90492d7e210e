// Signing in: an access token is entered once.

import { signIn } from "../api.js";
import { Component, html } from "../html.js";

/**
 * The form; `onSignedIn` is called once there is a session, and `reason` says why one is needed.
 * @typedef {{ reason: string, onSignedIn: () => void }} Props
 * @typedef {{ token: string, error: string, isWaiting: boolean }} State
 * @extends {Component<Props, State>}
 */
export class SignIn extends Component {
  /** @type {State} */
  state = { token: "", error: "", isWaiting: false };

  /** @param {SubmitEvent} event */
  submit = async (event) => {
    event.preventDefault();
    this.setState({ error: "", isWaiting: true });
    try {
      await signIn(this.state.token.trim());
    } catch (error) {
      this.setState({ error: /** @type {Error} */ (error).message, isWaiting: false });
      return;
    }
    this.setState({ token: "", isWaiting: false });
    this.props.onSignedIn();
  };

  render() {
    const { token, error, isWaiting } = this.state;
    return html`
      <main class="sign-in">
        <h1>Cost Insights</h1>
        <form onSubmit=${this.submit}>
          <label for="token">Access token</label>
          <input
            id="token"
            type="password"
            autocomplete="off"
            spellcheck=${false}
            required
            value=${token}
            aria-describedby="token-help"
            onInput=${(/** @type {any} */ event) => this.setState({ token: event.target.value })}
          />
          <p id="token-help" class="note">
            It is exchanged for a session of this browser, and not kept. An operator makes one
            with <code>cost-insights token create</code>.
          </p>
          ${(error || this.props.reason) &&
          html`<p class="error" role="alert">${error || this.props.reason}</p>`}
          <button type="submit" disabled=${isWaiting || !token.trim()}>Sign in</button>
        </form>
      </main>
    `;
  }
}

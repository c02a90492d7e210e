// The page: who is signed in, what is shown, and what the service answers to it.

import { readSession, signOut } from "./api.js";
import { Component, html, render } from "./html.js";
import { Live } from "./live.js";
import { Theme, ViewLink, applyTheme, copyExactly, printWhole } from "./parts.js";
import * as breakdown from "./pages/breakdown.js";
import * as customer from "./pages/customer.js";
import * as customers from "./pages/customers.js";
import * as event from "./pages/event.js";
import * as events from "./pages/events.js";
import * as llm from "./pages/llm.js";
import * as overview from "./pages/overview.js";
import * as revenue from "./pages/revenue.js";
import { SignIn } from "./pages/sign_in.js";
import { DETAILS, DIMENSION_NAMES, PAGES, parseView, queryOf } from "./state.js";
import { Toolbar } from "./toolbar.js";

/** @typedef {import("./state.js").View} View */

/** @typedef {{
 *   dimensions?: import("./state.js").Dimension[],
 *   hasMetadata?: boolean,
 *   hasInterval?: boolean,
 *   hasSpan?: boolean,
 * }} Tools the filters that count on a page, and which other choices do: all but those by metadata,
 *   where it says nothing
 */

/** @typedef {{
 *   questions: (view: View, now: Date) => import("./api.js").Question[],
 *   Page: (props: PageProps) => any,
 *   tools?: Tools,
 * }} PageModule what a page asks, and what it shows of the answers
 */

/** @type {Record<string, PageModule>} */
const MODULES = { overview, breakdown, customers, customer, events, event, revenue, llm };

/** @typedef {{
 *   view: View,
 *   answers: any[],
 *   signedIn: boolean,
 *   onChange: (change: Partial<View>) => void,
 * }} PageProps
 */

const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

/**
 * @typedef {{
 *   session: import("./api.js").Session | null,
 *   view: View,
 *   shown: { view: View, answers: any[] } | null,
 *   error: string,
 * }} State `shown` is the view that was answered last, which stays until the next one is
 * @extends {Component<{}, State>}
 */
class App extends Component {
  /** @type {State} */
  state = { session: null, view: parseView(location.search, ZONE), shown: null, error: "" };

  /** The view that the service was asked about last. */
  asked = this.state.view;

  live = new Live(
    () => {
      this.asked = this.state.view;
      return pageOf(this.asked).questions(this.asked, new Date());
    },
    (answers) => this.setState({ shown: { view: this.asked, answers }, error: "" }),
    (error) => this.fail(error),
  );

  componentDidMount() {
    history.replaceState(null, "", queryOf(this.state.view));
    addEventListener("popstate", () => {
      this.setState({ view: parseView(location.search, ZONE) }, this.live.refresh);
    });
    this.identify();
  }

  /** Asks who this browser acts as, and begins or ends to ask for numbers. */
  identify = async () => {
    try {
      const session = await readSession();
      this.setState({ session, error: "" });
      if (session.organization !== null) this.live.start();
    } catch (error) {
      this.setState({ error: /** @type {Error} */ (error).message });
    }
  };

  /** @param {Error & { code?: string }} error */
  fail = async (error) => {
    this.setState({ error: error.message });
    if (error.code !== "unauthenticated") return;
    try {
      const session = await readSession();
      if (session.organization === null) {
        this.live.stop();
        this.setState({ session, shown: null, error: "" });
      }
    } catch {
      // What is shown already is still true, and the next round finds out.
    }
  };

  /** @param {Partial<View>} change */
  change = (change) => {
    // Another choice makes another list, which is read from its beginning.
    const view = { ...this.state.view, after: "", ...change };
    history.pushState(null, "", queryOf(view));
    this.setState({ view }, this.live.refresh);
  };

  leave = async () => {
    this.live.stop();
    this.setState({ shown: null });
    await signOut();
    await this.identify();
  };

  render() {
    const { session, view, shown, error } = this.state;
    if (session !== null && session.organization === null) {
      return html`<${SignIn} reason=${this.reason(session)} onSignedIn=${this.identify} />`;
    }
    const tools = pageOf(view).tools ?? {};
    return html`
      <header>
        <a class="brand" href="./">Cost Insights</a>
        <nav aria-label="Pages">
          ${Object.entries(PAGES).map(
            ([page, name]) => html`
              <${ViewLink} view=${{ ...view, page, after: "" }} onChange=${this.change} current=${page === (DETAILS[view.page]?.list ?? view.page)}>${name}<//>
            `,
          )}
        </nav>
        <span class="organization">${session?.organization}</span>
        <${Theme} />
        ${session?.signed_in && html`<button type="button" onClick=${this.leave}>Sign out</button>`}
      </header>
      <main aria-busy=${String(shown?.view !== view)}>
        <h1>
          ${PAGES[view.page] ?? html`${DETAILS[view.page]?.name} <bdi>${view.id}</bdi>`}
        </h1>
        <${Toolbar}
          view=${view}
          dimensions=${tools.dimensions ?? DIMENSION_NAMES}
          hasMetadata=${tools.hasMetadata ?? false}
          hasSpan=${tools.hasSpan ?? true}
          hasInterval=${tools.hasInterval ?? true}
          onChange=${this.change}
        />
        ${error &&
        html`<p class="error" role="alert">
          ${error} <button type="button" onClick=${session === null ? this.identify : this.live.refresh}>Try again</button>
        </p>`}
        ${shown !== null &&
        html`<${pageOf(shown.view).Page}
          view=${shown.view}
          answers=${shown.answers}
          signedIn=${session?.signed_in ?? false}
          onChange=${this.change}
        />`}
        ${shown === null && !error && html`<p class="note" role="status">Loading …</p>`}
      </main>
    `;
  }

  /** @param {import("./api.js").Session} session why a token is needed, where one was given before */
  reason({ detail }) {
    return detail.startsWith("the call carries no access token") ? "" : sentence(detail);
  }
}

/** @param {View} view @returns {PageModule} */
function pageOf(view) {
  return MODULES[view.page] ?? overview;
}

/** @param {string} text */
function sentence(text) {
  return text === "" ? "" : `${text[0]?.toUpperCase()}${text.slice(1)}.`;
}

applyTheme();
copyExactly();
printWhole();
render(html`<${App} />`, /** @type {HTMLElement} */ (document.getElementById("app")));

/** Who is signed in, and the one connection that everything on the page shares. */

import { Messenger, Problem } from "../messenger.js";
import { Observed } from "../observed.js";
import { preferences } from "./preferences.js";
import { shelf } from "./shelf.js";

/** The server's root, wherever a proxy has put it. */
export const ROOT = new URL("./", document.baseURI).href;
export const client = new Messenger({ url: ROOT });

const SIGNED_IN = "signedIn";
/** What the sign-in form needs to know of the server, and nothing that is private. */
const UNKNOWN_SERVER = { has_accounts: true, password_min_length: 4 };

export const account = new (class extends Observed {
  /** @type {"starting" | "out" | "in"} */
  phase = "starting";
  server = UNKNOWN_SERVER;
  /** Why the last session ended, when it was not ended here. */
  endedBy = null;

  get user() {
    return client.state?.user ?? null;
  }

  get id() {
    return this.user?.user_id ?? null;
  }

  async begin() {
    const link = /^#link=([\w-]+)$/.exec(location.hash);
    if (link) {
      history.replaceState(null, "", location.pathname + location.search);
      await this.#try(async () => {
        await client.link(link[1]);
        preferences.set(SIGNED_IN, true);
        await shelf.clear(); // it may be somebody else's
      });
    }
    // The cookie is hidden from the page: it remembers that there is one, so that a stranger causes no refusal.
    if (!preferences.get(SIGNED_IN, false)) return this.leave(this.endedBy);
    await this.#remember();
    await this.#enter();
  }

  /** What was known at the last visit is shown until the server answers. */
  async #remember() {
    client.state = await shelf.state();
    if (!client.state) return;
    this.phase = "in";
    this.onremember();
    this.changed();
  }

  /** The state is here, old or new: what depends on who I am can begin. */
  onremember = () => {};

  async signIn(name, password) {
    const who = name.includes("@") ? { email: name } : { user_name: name };
    await client.login({ ...who, password, ...this.#device() });
    preferences.set(SIGNED_IN, true);
    await this.#enter();
  }

  async register(name, password) {
    await client.register({ user_name: name, password });
    await this.signIn(name, password);
  }

  async signOut() {
    await this.#try(() => client.logout());
    client.stop();
    this.leave(null);
  }

  /** The server has ended this session. */
  async leave(reason) {
    preferences.set(SIGNED_IN, null);
    this.endedBy = reason;
    client.state = null;
    await shelf.clear();
    await this.#look();
    this.phase = "out";
    this.changed();
  }

  async #enter() {
    try {
      await client.start();
      this.phase = "in";
      this.endedBy = null;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      return this.leave(error);
    }
    this.changed();
  }

  async #look() {
    try {
      this.server = await client.call("GET", "client.json");
    } catch {
      // the form works without it
    }
  }

  /** For what may fail without anybody being stopped by it. */
  async #try(act) {
    try {
      await act();
    } catch (error) {
      this.endedBy = error instanceof Problem ? error : null;
    }
  }

  /** This browser signs in as one device, however often. */
  #device() {
    const id = preferences.get("device") ?? crypto.randomUUID?.() ?? String(Math.random()).slice(2);
    preferences.set("device", id);
    return { client_id: id, device_name: deviceName() };
  }
})();

function deviceName() {
  const agent = navigator.userAgent;
  const browser = /Edg/.test(agent) ? "Edge" : /Firefox/.test(agent) ? "Firefox" : /Chrom/.test(agent) ? "Chrome"
    : /Safari/.test(agent) ? "Safari" : "";
  const system = /Android/.test(agent) ? "Android" : /iPhone|iPad/.test(agent) ? "iOS" : /Mac/.test(agent) ? "macOS"
    : /Windows/.test(agent) ? "Windows" : /Linux/.test(agent) ? "Linux" : "";
  return [browser, system].filter(Boolean).join(" · ") || null;
}

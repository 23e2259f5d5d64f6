/** Begins everything, in the order in which it is needed. */

import { html, render } from "./vendor/preact.js";
import { account } from "./model/account.js";
import * as desk from "./model/desk.js";
import { notices } from "./model/notices.js";
import { place } from "./model/place.js";
import { preferences } from "./model/preferences.js";
import { presence } from "./model/presence.js";
import { stage } from "./model/stage.js";
import { Page } from "./view/page.js";
import { language } from "./words.js";

preferences.begin();
language.begin();
desk.begin();
account.begin();
place.begin();
notices.begin();
presence.begin();
render(html`<${Page} />`, document.body);
keepShell();

/** The page's own files come from the browser's cache; a new version is told, never mixed in. */
async function keepShell() {
  if (!navigator.serviceWorker) return;
  const address = new URL("sw.js", document.baseURI).href;
  // The one place where an address of code is made.
  const policy = globalThis.trustedTypes?.createPolicy("messenger", { createScriptURL: (url) => url });
  const hadOne = Boolean(navigator.serviceWorker.controller);
  navigator.serviceWorker.addEventListener("controllerchange", () => {
    stage.hasNewVersion = hadOne;
    stage.changed();
  });
  await navigator.serviceWorker.register(policy ? policy.createScriptURL(address) : address).catch(() => {});
}

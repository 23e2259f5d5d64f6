/** Begins everything, in the order in which it is needed. */

import { html, render } from "./vendor/preact.js";
import { account } from "./model/account.js";
import { begin, line } from "./model/desk.js";
import { notices } from "./model/notices.js";
import { place } from "./model/place.js";
import { preferences } from "./model/preferences.js";
import { presence } from "./model/presence.js";
import { stage } from "./model/stage.js";
import { Page } from "./view/page.js";
import { language } from "./words.js";

preferences.begin();
language.begin();
begin();
account.begin();
place.begin();
notices.begin();
presence.begin();
render(html`<${Page} />`, document.body);
keepShell();

/** The page's own files come from the browser's cache; a new version is told, never mixed in. */
async function keepShell() {
  const { serviceWorker } = navigator;
  if (!serviceWorker) return;
  serviceWorker.onmessage = ({ data }) => {
    stage.hasNewVersion = !import.meta.url.includes(data.place);
    stage.changed();
  };
  const address = new URL("sw.js", document.baseURI).href;
  // The one place where an address of code is made.
  const policy = globalThis.trustedTypes?.createPolicy("messenger", { createScriptURL: (url) => url });
  const known = await serviceWorker.register(policy ? policy.createScriptURL(address) : address).catch(() => null);
  // A server that has come back may be a newer one.
  let wasLost = false;
  line.watch(() => {
    if (line.phase === "online" && wasLost) known?.update().catch(() => {});
    wasLost = line.phase === "offline" || (wasLost && line.phase !== "online");
  });
}

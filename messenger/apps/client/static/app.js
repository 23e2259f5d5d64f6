// The one place where an address of code is made: the service worker's.
const trusted = globalThis.trustedTypes?.createPolicy("messenger", { createScriptURL: (address) => address });
const worker = new URL("sw.js", document.baseURI).href;

navigator.serviceWorker?.register(trusted ? trusted.createScriptURL(worker) : worker);

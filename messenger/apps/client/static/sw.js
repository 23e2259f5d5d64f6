// The service worker: keeps the files of this version of the page, so that it opens without a server. All else, above
// all what people say (v1/), goes past it. A new version takes over at once: addresses of files hold their version, so
// nothing is mixed, and a page that is still open finds its own files in the version before. Each page is told which is
// newest.
const PLACE = "{static}";
const FILES = {files};
const SCOPE = self.registration.scope;
const PREFIX = `messenger ${SCOPE} `; // caches belong to the whole origin, which may have other pages like this one
const CACHE = PREFIX + PLACE;
const PATIENCE = 3000; // ms

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(activate()));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || !request.url.startsWith(SCOPE)) return;
  const path = request.url.slice(SCOPE.length).replace(/[?#].*/, "");
  if (path === "") event.respondWith(page(request));
  else if (path.startsWith("static/")) event.respondWith(file(request));
});

async function install() {
  const answer = await fetch("./", { cache: "no-store" });
  // While servers are replaced one by one the page may be of another version: then the browser tries again later.
  if (!answer.ok || !(await answer.clone().text()).includes(PLACE)) throw new Error("The page is of another version.");
  const cache = await caches.open(CACHE);
  await cache.addAll(FILES);
  await cache.put("./", answer);
  await self.skipWaiting();
}

async function activate() {
  const ours = (await caches.keys()).filter((name) => name.startsWith(PREFIX)); // the oldest first
  await Promise.all(ours.slice(0, -2).map((name) => caches.delete(name)));
  await self.clients.claim();
  for (const client of await self.clients.matchAll({ type: "window" })) {
    client.postMessage({ type: "version", place: PLACE });
  }
}

// A server that is away, or silent, or a proxy that says so, is no reason not to open.
async function page(request) {
  const asked = fetch(request).catch(() => null);
  const answer = await Promise.race([asked, new Promise((tell) => setTimeout(tell, PATIENCE, null))]);
  if (answer !== null && answer.status < 500) return answer;
  const kept = await (await caches.open(CACHE)).match("./");
  return kept ?? (await asked) ?? Response.error();
}

async function file(request) {
  return (await caches.match(request, { ignoreVary: true })) ?? fetch(request);
}

// Keeps the page's own files, so that it opens without a network. Bundles are kept by the page.

const FILES = __FILES__;
const PREFIX = "echoes-rt-page ";
const CACHE = PREFIX + FILES.join(" ");

self.addEventListener("install", (event) => {
  const kept = caches.open(CACHE).then((cache) => cache.addAll(["./", ...FILES]));
  event.waitUntil(kept.then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    caches
      .keys()
      .then((names) => names.filter((name) => name.startsWith(PREFIX) && name !== CACHE))
      .then((old) => Promise.all(old.map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || !request.url.startsWith(self.registration.scope)) return;
  if (request.mode === "navigate") {
    // A new page if there is one, else the one that was kept.
    event.respondWith(fetch(request).catch(() => caches.match("./")));
  } else if (request.url.includes("/assets/")) {
    event.respondWith(asset(request));
  }
});

/** Assets have their checksums in their names: what is kept is what would be fetched. */
async function asset(request) {
  const kept = await caches.match(request);
  if (kept) return kept;
  const response = await fetch(request);
  if (response.ok) {
    const cache = await caches.open(CACHE);
    await cache.put(request, response.clone()).catch(() => undefined);
  }
  return response;
}

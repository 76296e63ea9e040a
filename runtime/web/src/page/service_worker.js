// Keeps the page's own files, so that it opens without a network. Bundles are kept by the page.

const FILES = __FILES__;
const PREFIX = "echoes-rt-page "; // main.ts looks for it
const CACHE = PREFIX + FILES.atOnce.join(" ");

// Other programs may be served under the same address at other times: only our own is answered.
const address = (file) => new URL(file, self.registration.scope).href;
const PAGES = ["./", "index.html"].map(address);
const ASSETS = [...FILES.atOnce, ...FILES.whenUsed].map(address);

self.addEventListener("install", (event) => {
  const kept = caches.open(CACHE).then((cache) => cache.addAll(["./", ...FILES.atOnce]));
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
  if (request.method !== "GET") return;
  if (request.mode === "navigate") {
    if (PAGES.includes(request.url.split(/[?#]/)[0])) event.respondWith(newest(request));
  } else if (ASSETS.includes(request.url)) {
    event.respondWith(asset(request));
  }
});

/** A new page if there is one, else the one that was kept. */
async function newest(request) {
  try {
    return await fetch(request);
  } catch (error) {
    const kept = await caches.match("./", { cacheName: CACHE });
    if (!kept) throw error;
    return kept;
  }
}

/** Assets have their checksums in their names: what is kept is what would be fetched. */
async function asset(request) {
  const kept = await caches.match(request, { cacheName: CACHE });
  if (kept) return kept;
  const response = await fetch(request);
  if (response.ok) {
    const cache = await caches.open(CACHE);
    await cache.put(request, response.clone()).catch(() => undefined);
  }
  return response;
}

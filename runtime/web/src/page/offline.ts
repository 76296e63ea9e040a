/** Keeps the page for when there is no network. */

/** Has the browser keep the page's own files; says whether they are there. */
export async function keepPage(): Promise<boolean> {
  if (!import.meta.env.PROD) return false; // the developer's server has no service worker
  try {
    await navigator.serviceWorker.register("./service_worker.js");
    await navigator.serviceWorker.ready;
    // Other programs may have kept theirs under the same address.
    const names = (await caches.keys()).filter((name) => name.startsWith("echoes-rt-page "));
    const pages = names.map((cacheName) => caches.match("./", { cacheName }));
    return (await Promise.all(pages)).some((kept) => kept !== undefined);
  } catch {
    return false; // browsers have none of this on insecure pages, and may forbid it
  }
}

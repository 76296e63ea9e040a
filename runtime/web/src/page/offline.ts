/** Keeps the page for when there is no network. */

/** Has the browser keep the page's own files; says whether they are there. */
export async function keepPage(): Promise<boolean> {
  if (!import.meta.env.PROD) return false; // the developer's server has no service worker
  try {
    await navigator.serviceWorker.register("./service_worker.js");
    await navigator.serviceWorker.ready;
    return (await caches.match("./")) !== undefined;
  } catch {
    return false; // browsers have none of this on insecure pages, and may forbid it
  }
}

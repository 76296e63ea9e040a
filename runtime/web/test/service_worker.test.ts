import { readFileSync } from "node:fs";

import { beforeEach, describe, expect, it } from "vitest";

const FILES = { atOnce: ["assets/page-1.js"], whenUsed: ["assets/ort.jspi-1.wasm"] };
const SCOPE = "http://localhost:8000/";
const source = readFileSync(new URL("../src/page/service_worker.js", import.meta.url), "utf8");

interface Happening {
  readonly request: { readonly method: string; readonly mode: string; readonly url: string };
  respondWith(answer: Promise<Response>): void;
}

/** What every program under one address shares, by the name of the cache and the address. */
let kept: Map<string, Map<string, string>>;
let fetched: string[];
let isOnline: boolean;
let listeners: Record<string, (event: never) => void>;

const whole = (address: string | { url: string }) =>
  new URL(typeof address === "string" ? address : address.url, SCOPE).href;

const caches = {
  async open(name: string) {
    const cache = kept.get(name) ?? new Map<string, string>();
    kept.set(name, cache);
    return {
      addAll: async (urls: string[]) => urls.forEach((url) => cache.set(whole(url), `kept ${url}`)),
      put: async (request: { url: string }, response: Response) =>
        void cache.set(request.url, await response.text()),
    };
  },
  async match(request: string | { url: string }, { cacheName }: { cacheName?: string } = {}) {
    const found = [...kept]
      .filter(([name]) => cacheName === undefined || name === cacheName)
      .map(([, cache]) => cache.get(whole(request)));
    const text = found.find((text) => text !== undefined);
    return text === undefined ? undefined : new Response(text);
  },
};

beforeEach(async () => {
  [kept, fetched, isOnline, listeners] = [new Map(), [], true, {}];
  const self = {
    registration: { scope: SCOPE },
    addEventListener: (name: string, listener: (event: never) => void) => {
      listeners[name] = listener;
    },
    skipWaiting: async () => undefined,
  };
  const fetch = async (request: { url: string }) => {
    if (!isOnline) throw new TypeError("no network");
    fetched.push(request.url);
    return new Response(`fetched ${request.url}`);
  };
  const script = source.replace("__FILES__", JSON.stringify(FILES));
  new Function("self", "caches", "fetch", script)(self, caches, fetch);
  let installed: Promise<unknown> | undefined;
  const event = { waitUntil: (work: Promise<unknown>) => void (installed = work) };
  listeners["install"]!(event as never);
  await installed;
});

/** What the service worker answers; undefined: it leaves that to the browser. */
async function answerTo(url: string, mode = "no-cors"): Promise<string | undefined> {
  let answer: Promise<Response> | undefined;
  const event: Happening = {
    request: { method: "GET", mode, url },
    respondWith: (given) => void (answer = given),
  };
  listeners["fetch"]!(event as never);
  return answer && (await answer).text();
}

describe("the service worker", () => {
  it("keeps what few need once it is used", async () => {
    const url = `${SCOPE}assets/ort.jspi-1.wasm`;
    for (const _ of "12") expect(await answerTo(url)).toBe(`fetched ${url}`);
    expect(fetched).toEqual([url]);
  });

  it.each([
    ["an asset of another program", "assets/other.js", "no-cors"],
    ["an asset in another folder", "shop/assets/page-1.js", "no-cors"],
    ["a bundle, which the page keeps itself", "bundle/manifest.json", "cors"],
    ["another program's page", "shop/", "navigate"],
  ])("leaves %s alone", async (_, path, mode) => {
    expect(await answerTo(SCOPE + path, mode)).toBeUndefined();
    expect([...kept.values()].flatMap((cache) => [...cache.keys()])).not.toContain(SCOPE + path);
  });

  it("gives its own files, whatever another program keeps under their address", async () => {
    const other = new Map([[`${SCOPE}assets/page-1.js`, "other"], [SCOPE, "other"]]);
    kept = new Map([["other", other], ...kept]);
    expect(await answerTo(`${SCOPE}assets/page-1.js`)).toBe("kept assets/page-1.js");
    expect(fetched).toEqual([]);
    isOnline = false;
    expect(await answerTo(SCOPE, "navigate")).toBe("kept ./");
  });

  it("opens a new page if there is one, else the one that it keeps", async () => {
    expect(await answerTo(`${SCOPE}?a#b`, "navigate")).toBe(`fetched ${SCOPE}?a#b`);
    isOnline = false;
    expect(await answerTo(`${SCOPE}?a#b`, "navigate")).toBe("kept ./");
    expect(await answerTo(`${SCOPE}index.html`, "navigate")).toBe("kept ./");
  });
});

import { createHash } from "node:crypto";

import { afterEach, describe, expect, it, vi } from "vitest";

import { Bundle } from "../src/echoes/bundle";
import { BundleError } from "../src/echoes/errors";
import { serve, TINY_BUNDLE } from "./fixtures";

afterEach(() => vi.unstubAllGlobals());

const STEP = Buffer.from("a newer step");
const STEP_GRAPH = "decode_audio_step";
const STEP_SHA256 = createHash("sha256").update(STEP).digest("hex");

/** A newer bundle's manifest, which says that a graph is STEP. */
function newer(file: string, data: Buffer): Buffer {
  if (file !== "manifest.json") return data;
  const manifest = JSON.parse(data.toString());
  manifest.description = "newer";
  Object.assign(manifest.graphs[STEP_GRAPH], { sha256: STEP_SHA256, size_bytes: STEP.length });
  return Buffer.from(JSON.stringify(manifest));
}

function unplug(): void {
  vi.stubGlobal("fetch", async () => {
    throw new TypeError("no network");
  });
}

/** An answer that ends in the middle. */
function cutOff(): Response {
  let isFirst = true;
  return new Response(
    new ReadableStream({
      pull(controller) {
        if (isFirst) controller.enqueue(new Uint8Array(10));
        else controller.error(new TypeError("network error"));
        isFirst = false;
      },
    }),
  );
}

/** A Cache, which has whole addresses, as browsers do; what it has no room for is refused. */
function stubCache(refuses: (url: string) => boolean = () => false): Map<string, Response> {
  const kept = new Map<string, Response>();
  const whole = (url: string) => new URL(url, "http://bundle/").href;
  const cache = {
    match: async (url: string) => kept.get(whole(url))?.clone(),
    put: async (url: string, response: Response) => {
      if (refuses(url)) throw new DOMException("no room", "QuotaExceededError");
      kept.set(whole(url), response);
    },
    keys: async () => [...kept.keys()].map((url) => ({ url })),
    delete: async (url: string) => kept.delete(whole(url)),
  };
  vi.stubGlobal("caches", { open: async () => cache });
  return kept;
}

describe("a bundle", () => {
  it("is fetched, each file once, and says how far it is", async () => {
    const asked: string[] = [];
    const url = serve(TINY_BUNDLE, (file, data) => {
      asked.push(file);
      return data;
    });
    const seen: number[] = [];
    let total = 0;
    const bundle = await Bundle.load(url, (loaded, all) => {
      seen.push(loaded);
      total = all;
    });
    expect(asked.toSorted()).toEqual([...new Set(asked)].toSorted());
    expect(seen.at(-1)).toBe(total);
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    expect(total).toBe(bundle.sizeBytes);
    const [weights] = bundle.manifest.graphs[STEP_GRAPH]!.external_data;
    const [{ path, data }] = bundle.graph(STEP_GRAPH).externalData as [{ path: string; data: Uint8Array }];
    expect([path, data.length]).toEqual([weights!.file, weights!.size_bytes]);
    expect(asked).not.toContain("decode_audio.onnx"); // which this program does not run
  });

  it.each([
    ["has another byte", (data: Buffer) => Buffer.from(data.map((b, i) => (i === 9 ? b ^ 1 : b))),
      /has the checksum [0-9a-f]{12}\.\.\., the manifest says/],
    ["is cut short", (data: Buffer) => data.subarray(0, 100), /has 100 bytes, the manifest says/],
    ["is too long", (data: Buffer) => Buffer.concat([data, data]), /is larger than the \d+ bytes/],
    ["is missing", () => undefined, /the server answered 404/],
  ])("of which a file %s is refused", async (_, change, message) => {
    const url = serve(TINY_BUNDLE, (file, data) => (file === `${STEP_GRAPH}.onnx` ? change(data) : data));
    const loading = Bundle.load(url);
    await expect(loading).rejects.toThrow(BundleError);
    await expect(loading).rejects.toThrow(message);
  });

  it("with a manifest that is no JSON is refused", async () => {
    const url = serve(TINY_BUNDLE, () => Buffer.from("{"));
    await expect(Bundle.load(url)).rejects.toThrow(/manifest\.json: the manifest is not valid JSON/);
  });

  it("loads without a network once it was loaded", async () => {
    stubCache();
    await Bundle.load(serve(TINY_BUNDLE));
    unplug();
    const bundle = await Bundle.load("http://bundle");
    expect(bundle.manifest.name).toBe("echoes-tiny");
    expect(bundle.isKept).toBe(true);
    await expect(Bundle.load("http://elsewhere/")).rejects.toThrow(
      "http://elsewhere/manifest.json cannot be fetched: no network",
    );
  });

  it("does not trust what was kept", async () => {
    const kept = stubCache();
    await Bundle.load(serve(TINY_BUNDLE));
    for (const url of kept.keys()) if (url.includes("?")) kept.set(url, new Response("damaged"));
    const bundle = await Bundle.load(serve(TINY_BUNDLE));
    expect(bundle.manifest.name).toBe("echoes-tiny");
  });

  it("still loads without a network after an update that was cut off", async () => {
    stubCache();
    const url = serve(TINY_BUNDLE);
    await Bundle.load(url);
    serve(TINY_BUNDLE, newer);
    await expect(Bundle.load(url)).rejects.toThrow(BundleError);
    unplug();
    expect((await Bundle.load(url)).manifest.description).not.toBe("newer");
  });

  it("of which there is no room for a file is not kept, but what was kept before is", async () => {
    stubCache((url) => url.endsWith(STEP_SHA256));
    const url = serve(TINY_BUNDLE);
    expect((await Bundle.load(url)).isKept).toBe(true);
    serve(TINY_BUNDLE, (file, data) => newer(file, file === `${STEP_GRAPH}.onnx` ? STEP : data));
    const bundle = await Bundle.load(url);
    expect([bundle.manifest.description, bundle.isKept]).toEqual(["newer", false]);
    unplug();
    expect((await Bundle.load(url)).manifest.description).not.toBe("newer");
  });

  it("of which the connection is lost while a file comes is refused", async () => {
    const url = serve(TINY_BUNDLE);
    const answer = fetch;
    vi.stubGlobal("fetch", async (address: string) =>
      address.includes(`${STEP_GRAPH}.onnx`) ? cutOff() : answer(address),
    );
    const loading = Bundle.load(url);
    await expect(loading).rejects.toThrow(BundleError);
    await expect(loading).rejects.toThrow(/decode_audio_step\.onnx\S* cannot be fetched: network error$/);
  });

  it("with an address that is none is refused", async () => {
    await expect(Bundle.load("http://[")).rejects.toThrow(BundleError);
  });
});

describe("the browser's cache", () => {
  it("forgets the files of an older bundle, also under an address without its host", async () => {
    const kept = stubCache();
    vi.stubGlobal("location", { href: "http://bundle/page.html" });
    const [old, other] = [`http://bundle/${STEP_GRAPH}.onnx?sha256=old`, "http://bundle.example/old"];
    for (const url of [old, other]) kept.set(url, new Response("old"));
    serve(TINY_BUNDLE);
    const bundle = await Bundle.load("/");
    expect([bundle.url, bundle.isKept]).toEqual(["http://bundle/", true]);
    expect(kept.has(old)).toBe(false);
    expect([other, "http://bundle/manifest.json"].every((url) => kept.has(url))).toBe(true);
  });
});

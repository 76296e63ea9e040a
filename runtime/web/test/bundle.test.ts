import { afterEach, describe, expect, it, vi } from "vitest";

import { Bundle } from "../src/echoes/bundle";
import { BundleError } from "../src/echoes/errors";
import type { FileStore } from "../src/echoes/file_store";
import { serve, TINY_BUNDLE } from "./fixtures";

class MemoryStore implements FileStore {
  readonly files = new Map<string, Uint8Array<ArrayBuffer>>();

  async get(url: string) {
    return this.files.get(url);
  }

  async put(url: string, bytes: Uint8Array<ArrayBuffer>) {
    this.files.set(url, bytes);
  }

  async keepOnly(folder: string, urls: readonly string[]) {
    for (const url of this.files.keys()) {
      if (url.startsWith(folder) && !urls.includes(url)) this.files.delete(url);
    }
  }
}

afterEach(() => vi.unstubAllGlobals());

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
    expect(bundle.graph("step").externalData[0]!.data.length).toBe(96_752);
  });

  it.each([
    ["has another byte", (data: Buffer) => Buffer.from(data.map((b, i) => (i === 9 ? b ^ 1 : b))),
      /has the checksum [0-9a-f]{12}\.\.\., the manifest says/],
    ["is cut short", (data: Buffer) => data.subarray(0, 100), /has 100 bytes, the manifest says/],
    ["is too long", (data: Buffer) => Buffer.concat([data, data]), /is larger than the \d+ bytes/],
    ["is missing", () => undefined, /the server answered 404/],
  ])("of which a file %s is refused", async (_, change, message) => {
    const url = serve(TINY_BUNDLE, (file, data) => (file === "step.onnx" ? change(data) : data));
    const loading = Bundle.load(url);
    await expect(loading).rejects.toThrow(BundleError);
    await expect(loading).rejects.toThrow(message);
  });

  it("with a manifest that is no JSON is refused", async () => {
    const url = serve(TINY_BUNDLE, () => Buffer.from("{"));
    await expect(Bundle.load(url)).rejects.toThrow(/manifest\.json: the manifest is not valid JSON/);
  });

  it("loads without a network once it was loaded", async () => {
    const store = new MemoryStore();
    await store.put("http://bundle/step.onnx?sha256=old", new Uint8Array(1));
    await Bundle.load(serve(TINY_BUNDLE), undefined, store);
    expect([...store.files.keys()].some((url) => url.endsWith("old"))).toBe(false);
    vi.stubGlobal("fetch", async () => {
      throw new TypeError("no network");
    });
    const bundle = await Bundle.load("http://bundle", undefined, store);
    expect(bundle.manifest.name).toBe("echoes-tiny");
    await expect(Bundle.load("http://elsewhere/", undefined, store)).rejects.toThrow(
      "http://elsewhere/manifest.json cannot be fetched: no network",
    );
  });

  it("does not trust what was kept", async () => {
    const store = new MemoryStore();
    await Bundle.load(serve(TINY_BUNDLE), undefined, store);
    for (const [url, bytes] of store.files) if (url.includes("?")) bytes[0]! ^= 1;
    const bundle = await Bundle.load(serve(TINY_BUNDLE), undefined, store);
    expect(bundle.manifest.name).toBe("echoes-tiny");
  });
});

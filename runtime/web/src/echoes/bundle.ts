/** Fetching and verifying bundles. */

import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";

import { BundleError, ManifestError, messageOf } from "./errors";
import { FileStore } from "./file_store";
import { parseJson } from "./json";
import {
  filesOf,
  GRAPHS,
  MANIFEST_NAME,
  readManifest,
  type DataFile,
  type GraphName,
  type Manifest,
} from "./manifest";

const MAX_MANIFEST_BYTES = 1 << 20;

/** Called as bytes arrive. */
export type OnBytes = (loaded: number, total: number) => void;

type Bytes = Uint8Array<ArrayBuffer>;

/** A verified bundle in memory: the files of the graphs that this program runs. */
export class Bundle {
  private constructor(
    readonly url: string,
    readonly manifest: Manifest,
    /** Whether it loads without a network from now on. */
    readonly isKept: boolean,
    private readonly files: ReadonlyMap<string, Bytes>,
  ) {}

  /**
   * Fetches a bundle's folder, or takes from the store what was verified before.
   *
   * @throws ManifestError if the manifest breaks a rule; BundleError if a file cannot be fetched,
   * or is damaged.
   */
  static async load(url: string, onBytes?: OnBytes): Promise<Bundle> {
    const folder = folderUrl(url);
    const kept = await FileStore.open();
    const { manifest, bytes } = await loadManifest(folder, kept);
    const parts = filesOf(manifest, GRAPHS);
    const total = parts.reduce((sum, part) => sum + part.size_bytes, 0);
    const files = new Map<string, Bytes>();
    let before = 0;
    let isKept = true;
    for (const part of parts) {
      const onPart = (loaded: number) => onBytes?.(before + loaded, total);
      const file = await loadFile(folder, part, kept, onPart);
      files.set(part.file, file.bytes);
      isKept &&= file.isKept;
      before += part.size_bytes;
      onPart(0);
    }
    // Last of all, so that what was kept before works until all of this is there.
    const manifestUrl = `${folder}${MANIFEST_NAME}`;
    isKept &&= await kept.put(manifestUrl, bytes);
    if (isKept) {
      const urls = parts.map((part) => fileUrl(folder, part));
      await kept.keepOnly(folder, [...urls, manifestUrl]);
    }
    return new Bundle(folder, manifest, isKept, files);
  }

  get sizeBytes(): number {
    return [...this.files.values()].reduce((sum, bytes) => sum + bytes.length, 0);
  }

  /** A graph and the files that it reads besides itself. */
  graph(name: GraphName): { graph: Bytes; externalData: { path: string; data: Bytes }[] } {
    const entry = this.manifest.graphs[name];
    if (!entry) {
      throw new BundleError(`bundle ${this.manifest.name} has no graph ${name}`);
    }
    return {
      graph: this.files.get(entry.file)!,
      externalData: entry.external_data.map(({ file }) => ({
        path: file,
        data: this.files.get(file)!,
      })),
    };
  }
}

/** The whole address of a bundle's folder. */
function folderUrl(url: string): string {
  const folder = url.endsWith("/") ? url : `${url}/`;
  try {
    return new URL(folder, globalThis.location?.href).href;
  } catch (error) {
    throw notFetched(url, error);
  }
}

/** The manifest as it is now; without a network, as it was. */
async function loadManifest(
  folder: string,
  store: FileStore,
): Promise<{ manifest: Manifest; bytes: Bytes }> {
  const url = `${folder}${MANIFEST_NAME}`;
  let bytes: Bytes;
  try {
    bytes = await fetchBytes(url, { cache: "no-cache" }, MAX_MANIFEST_BYTES);
  } catch (error) {
    const kept = await store.get(url);
    if (!kept) throw error;
    bytes = kept;
  }
  try {
    return { manifest: readManifest(parseJson(bytes)), bytes };
  } catch (error) {
    throw new ManifestError(`${url}: ${messageOf(error)}`, { cause: error });
  }
}

async function loadFile(
  folder: string,
  part: DataFile,
  store: FileStore,
  onBytes: (loaded: number) => void,
): Promise<{ bytes: Bytes; isKept: boolean }> {
  const url = fileUrl(folder, part);
  const kept = await store.get(url);
  if (kept && (await sha256Hex(kept)) === part.sha256) return { bytes: kept, isKept: true };
  const bytes = await fetchBytes(url, {}, part.size_bytes, onBytes);
  const refuse = (is: string, must: string) => {
    const sentence = `file ${part.file} of ${folder} has ${is}, the manifest says ${must}`;
    throw new BundleError(`${sentence}; reload the page`);
  };
  if (bytes.length !== part.size_bytes) refuse(`${bytes.length} bytes`, `${part.size_bytes}`);
  const digest = await sha256Hex(bytes);
  const shown = (checksum: string) => `${checksum.slice(0, 12)}...`;
  if (digest !== part.sha256) refuse(`the checksum ${shown(digest)}`, shown(part.sha256));
  return { bytes, isKept: await store.put(url, bytes) };
}

/** The checksum in the address makes it another address when the file becomes another. */
function fileUrl(folder: string, part: DataFile): string {
  return `${folder}${encodeURI(part.file)}?sha256=${part.sha256}`;
}

/** Also where the browser has no `crypto.subtle`: pages over plain HTTP from elsewhere. */
async function sha256Hex(bytes: Bytes): Promise<string> {
  const digest = globalThis.crypto?.subtle
    ? new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))
    : sha256(bytes);
  return bytesToHex(digest);
}

function notFetched(url: string, error: unknown): BundleError {
  return new BundleError(`${url} cannot be fetched: ${messageOf(error)}`, { cause: error });
}

/** What lies at an address, of which no more than `most` bytes are read. */
async function fetchBytes(
  url: string,
  init: RequestInit,
  most: number,
  onBytes?: (loaded: number) => void,
): Promise<Bytes> {
  const response = await fetch(url, init).catch((error: unknown) => {
    throw notFetched(url, error);
  });
  if (!response.ok || !response.body) {
    throw new BundleError(`${url} cannot be fetched: the server answered ${response.status}`);
  }
  const chunks: Uint8Array[] = [];
  let loaded = 0;
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read().catch((error: unknown) => {
      throw notFetched(url, error); // the connection was lost
    });
    if (done) break;
    loaded += value.length;
    if (loaded > most) {
      await reader.cancel();
      throw new BundleError(`${url} is larger than the ${most} bytes allowed`);
    }
    chunks.push(value);
    onBytes?.(loaded);
  }
  const bytes = new Uint8Array(loaded);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

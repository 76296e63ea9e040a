/** Where verified files of a bundle are kept, so that they load without a network. */

export interface FileStore {
  /** Addresses are whole ones, as the browser's Cache has them. */
  get(url: string): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /** Says whether it is kept from now on. */
  put(url: string, bytes: Uint8Array<ArrayBuffer>): Promise<boolean>;
  /** Forgets what lies under a folder's URL and is not in `urls`. */
  keepOnly(folder: string, urls: readonly string[]): Promise<void>;
}

const CACHE_NAME = "echoes-rt-bundles";

/** The browser's Cache, if any; a full disk or a private window only costs the offline copy. */
class CacheStore implements FileStore {
  constructor(private readonly cache: Cache | undefined) {}

  async get(url: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const response = await this.cache?.match(url).catch(() => undefined);
    return response && new Uint8Array(await response.arrayBuffer());
  }

  async put(url: string, bytes: Uint8Array<ArrayBuffer>): Promise<boolean> {
    const put = this.cache?.put(url, new Response(bytes)).then(() => true);
    return (await put?.catch(() => false)) ?? false;
  }

  async keepOnly(folder: string, urls: readonly string[]): Promise<void> {
    for (const { url } of (await this.cache?.keys()) ?? []) {
      if (url.startsWith(folder) && !urls.includes(url)) await this.cache!.delete(url);
    }
  }
}

export async function openStore(): Promise<FileStore> {
  return new CacheStore(await globalThis.caches?.open(CACHE_NAME).catch(() => undefined));
}

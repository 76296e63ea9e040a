/** Where verified files of a bundle are kept, so that they load without a network. */

const CACHE_NAME = "echoes-rt-bundles";

/**
 * The browser's Cache, if any; a full disk or a private window only costs the offline copy.
 *
 * Addresses are whole ones, as the Cache has them.
 */
export class FileStore {
  private constructor(private readonly cache: Cache | undefined) {}

  static async open(): Promise<FileStore> {
    return new FileStore(await globalThis.caches?.open(CACHE_NAME).catch(() => undefined));
  }

  async get(url: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const response = await this.cache?.match(url).catch(() => undefined);
    return response && new Uint8Array(await response.arrayBuffer());
  }

  /** Says whether it is kept from now on. */
  async put(url: string, bytes: Uint8Array<ArrayBuffer>): Promise<boolean> {
    const put = this.cache?.put(url, new Response(bytes)).then(() => true);
    return (await put?.catch(() => false)) ?? false;
  }

  /** Forgets what lies under a folder's URL and is not in `urls`. */
  async keepOnly(folder: string, urls: readonly string[]): Promise<void> {
    for (const { url } of (await this.cache?.keys()) ?? []) {
      if (url.startsWith(folder) && !urls.includes(url)) await this.cache!.delete(url);
    }
  }
}

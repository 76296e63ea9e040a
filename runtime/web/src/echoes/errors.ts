/** What a user of echoes-rt may meet; every message is one sentence with a way out. */
export class EchoesError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** Something given by the caller cannot be used. */
export class InputError extends EchoesError {}

/** A bundle cannot be fetched or is damaged. */
export class BundleError extends EchoesError {}

/** A bundle's manifest breaks the rules of docs/manifest.md. */
export class ManifestError extends BundleError {}

/** The browser lacks what a device needs. */
export class BackendError extends EchoesError {}

/** The caller asked to stop. */
export class CancelledError extends EchoesError {}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

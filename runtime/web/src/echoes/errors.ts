/**
 * What a user of echoes-rt may meet; every message is one sentence with a way out.
 *
 * Names are written out, because builds shorten the names of classes, and errors cross from the
 * worker to the page by name.
 */
export class EchoesError extends Error {
  override name = "EchoesError";
}

/** Something given by the caller cannot be used. */
export class InputError extends EchoesError {
  override name = "InputError";
}

/** A bundle cannot be fetched or is damaged. */
export class BundleError extends EchoesError {
  override name = "BundleError";
}

/** A bundle's manifest breaks the rules of docs/format.md. */
export class ManifestError extends BundleError {
  override name = "ManifestError";
}

/** The browser lacks what a device needs. */
export class BackendError extends EchoesError {
  override name = "BackendError";
}

/** The caller asked to stop. */
export class CancelledError extends EchoesError {
  override name = "CancelledError";
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const SHOWN_CHARS = 60;

/** A value as JSON, cut to fit a sentence. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= SHOWN_CHARS ? text : `${text.slice(0, SHOWN_CHARS - 3)}...`;
}

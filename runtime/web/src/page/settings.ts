/** What the fields of the page ask for, and the devices that it offers. */

import jspiMjs from "onnxruntime-web/ort-wasm-simd-threaded.jspi.mjs?url";
import jspiWasm from "onnxruntime-web/ort-wasm-simd-threaded.jspi.wasm?url";
import cpuMjs from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import cpuWasm from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";

import {
  InputError,
  missingWebGpu,
  type DeviceName,
  type SentOptions,
  type WasmPaths,
} from "../echoes";
import { page } from "./elements";

const MAX_S = 600; // what a page can well hold, show and save

export function askedSeed(): bigint {
  const text = page.seed.value.trim();
  if (!/^\d{1,20}$/.test(text)) {
    throw new InputError(`the seed must be a whole number from 0 on, got ${text || "nothing"}`);
  }
  return BigInt(text);
}

/** The seed, and what else is set. */
export function askedOptions(): SentOptions {
  const dials = Object.entries(page.dials).map(([name, field]) => {
    const label = field.labels![0]!.textContent.trim().toLowerCase();
    return [name, numberIn(field, `the ${label}`)] as const;
  });
  const given = dials.filter(([, value]) => value !== undefined);
  return { seed: askedSeed(), ...Object.fromEntries(given) };
}

/** The seconds of sound that are asked for; undefined: one clip. */
export function askedLength(): number | undefined {
  const seconds = numberIn(page.length, "the length");
  if (seconds !== undefined && !(seconds > 0 && seconds <= MAX_S)) {
    throw new InputError(`the length must be in (0, ${MAX_S}] seconds, got ${seconds}`);
  }
  return seconds;
}

/**
 * The number in a field; undefined if it is empty.
 *
 * @param name - What the number is, for people.
 * @throws InputError if there is something else in it, which browsers give as an empty value.
 */
function numberIn({ value, validity }: HTMLInputElement, name: string): number | undefined {
  if (validity.badInput) {
    throw new InputError(`${name} must be a number, got something else; correct or empty its field`);
  }
  return value === "" ? undefined : Number(value);
}

const here = (path: string): string => new URL(path, document.baseURI).href;

/** Where this build has put ONNX Runtime's files; one pair is fetched, by the device in use. */
export const RUNTIME_FILES: Record<DeviceName, WasmPaths> = {
  wasm: { mjs: here(cpuMjs), wasm: here(cpuWasm) },
  webgpu: { mjs: here(jspiMjs), wasm: here(jspiWasm) },
};

/** Offers the graphics card, or says why it cannot be had. */
export async function offerWebGpu(): Promise<void> {
  const missing = await missingWebGpu();
  page.device.querySelector<HTMLOptionElement>("[value=webgpu]")!.disabled = Boolean(missing);
  page.deviceNote.textContent = missing
    ? `${missing[0]!.toUpperCase()}${missing.slice(1)}.`
    : "WebAssembly gives the same codes for the same seed as every other way to run the model; " +
      "a graphics card nearly always does.";
}

/** What graphs are run on, and why. */

import type * as OrtModule from "onnxruntime-web";

import { BackendError, messageOf } from "./errors";

export type DeviceName = "wasm" | "webgpu";

/** What is asked for: `auto` is WebAssembly, which gives the codes of every other runtime. */
export type DeviceWish = DeviceName | "auto";

type Ort = typeof OrtModule;

/** Where ONNX Runtime's own two files lie; undefined: beside its script. */
export interface WasmPaths {
  readonly mjs: string;
  readonly wasm: string;
}

export interface Device {
  readonly name: DeviceName;
  readonly threads: number;
  /** For people: what it is. */
  readonly label: string;
  /** For people: why it is this one. */
  readonly reason: string;
  readonly ort: Ort;
}

const MAX_THREADS = 4;

/**
 * Chooses a device and loads ONNX Runtime.
 *
 * @throws BackendError if ONNX Runtime cannot be loaded. A missing graphics card is no error: the
 * reason says so.
 */
export async function openDevice(
  wish: DeviceWish,
  options: { threads?: number; wasmPaths?: Record<DeviceName, WasmPaths> } = {},
): Promise<Device> {
  const missing = wish === "webgpu" ? await missingWebGpu() : undefined;
  const name: DeviceName = wish === "webgpu" && !missing ? "webgpu" : "wasm";
  const ort = await importOrt(name);
  const [threads, whyThreads] = threadCount(options.threads);
  ort.env.wasm.numThreads = threads;
  if (options.wasmPaths) ort.env.wasm.wasmPaths = { ...options.wasmPaths[name] };
  ort.env.logLevel = "error";
  const cpu = `WebAssembly, ${threads} thread${threads === 1 ? "" : "s"}`;
  if (name === "webgpu") {
    return { name, threads, ort, label: "WebGPU", reason: "asked for" };
  }
  return { name, threads, ort, label: cpu, reason: missing ?? whyThreads };
}

/**
 * Each device has a build of its own, and a browser fetches only the one it uses. A single build
 * would be the one that also runs where JavaScript cannot wait inside WebAssembly, and it is 4.5
 * times slower on the CPU.
 */
async function importOrt(name: DeviceName): Promise<Ort> {
  try {
    return name === "webgpu"
      ? await import("onnxruntime-web/jspi")
      : await import("onnxruntime-web/wasm");
  } catch (error) {
    throw new BackendError(`ONNX Runtime cannot be loaded: ${messageOf(error)}`, { cause: error });
  }
}

/** How many threads there can be, and why. */
function threadCount(asked: number | undefined): [threads: number, reason: string] {
  // Browsers share memory between threads only on pages that no other page can look into.
  if (globalThis.crossOriginIsolated === false) {
    return [1, "one thread, because the page was served without the headers that allow more"];
  }
  const cores = globalThis.navigator?.hardwareConcurrency ?? 1;
  if (asked !== undefined) return [Math.max(1, Math.min(asked, cores)), "asked for"];
  return [Math.min(MAX_THREADS, cores), `this machine has ${cores} logical cores`];
}

/** Why there is no WebGPU, or undefined if there is. */
export async function missingWebGpu(): Promise<string | undefined> {
  const gpu = (globalThis.navigator as { gpu?: { requestAdapter(): Promise<unknown> } }).gpu;
  if (!gpu) return "this browser has no WebGPU, so WebAssembly is used";
  if (!("Suspending" in WebAssembly)) {
    return "this browser's WebAssembly cannot wait for WebGPU (JSPI), so WebAssembly alone is used";
  }
  try {
    const adapter = await gpu.requestAdapter();
    return adapter ? undefined : "WebGPU finds no graphics card, so WebAssembly is used";
  } catch (error) {
    return `WebGPU does not start (${messageOf(error)}), so WebAssembly is used`;
  }
}

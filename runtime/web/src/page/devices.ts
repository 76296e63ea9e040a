/** The devices that the page offers, and what each needs. */

import jspiMjs from "onnxruntime-web/ort-wasm-simd-threaded.jspi.mjs?url";
import jspiWasm from "onnxruntime-web/ort-wasm-simd-threaded.jspi.wasm?url";
import cpuMjs from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import cpuWasm from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";

import { missingWebGpu, type DeviceName, type WasmPaths } from "../echoes";
import { page } from "./elements";

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

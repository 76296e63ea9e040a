/** Where this build has put ONNX Runtime's files; one pair is fetched, by the device in use. */

import jspiMjs from "onnxruntime-web/ort-wasm-simd-threaded.jspi.mjs?url";
import jspiWasm from "onnxruntime-web/ort-wasm-simd-threaded.jspi.wasm?url";
import cpuMjs from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import cpuWasm from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";

import type { DeviceName, WasmPaths } from "../echoes";

const here = (path: string): string => new URL(path, document.baseURI).href;

export const RUNTIME_FILES: Record<DeviceName, WasmPaths> = {
  wasm: { mjs: here(cpuMjs), wasm: here(cpuWasm) },
  webgpu: { mjs: here(jspiMjs), wasm: here(jspiWasm) },
};

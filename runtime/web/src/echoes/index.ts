/** echoes-rt in the browser: looks at a picture and makes the sound that belongs to it. */

export { Bundle, type OnBytes } from "./bundle";
export type { Options } from "./call";
export { EchoesWorker, type Watch } from "./client";
export type { OnStep } from "./decode";
export { missingWebGpu, type DeviceName, type DeviceWish, type WasmPaths } from "./device";
export {
  BackendError,
  BundleError,
  CancelledError,
  EchoesError,
  InputError,
  ManifestError,
  messageOf,
} from "./errors";
export type { Mask } from "./fill_picture";
export type { Part } from "./fill_sound";
export type { Pixels } from "./image";
export type { Manifest } from "./manifest";
export { clipMel } from "./mel";
export { MAX_SEED } from "./noise";
export { Echoes, type LoadOptions } from "./pipeline";
export type {
  Dials,
  Loaded,
  LoadRequest,
  Progress,
  StreamAsks,
  Verb,
  Verbs,
} from "./protocol";
export type { Pair, Picture, Sound } from "./results";
export type { MelSpec, Sampling } from "./spec";
export { encodeWav } from "./wav";

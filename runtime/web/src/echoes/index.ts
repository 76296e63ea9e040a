/** echoes-rt in the browser: looks at a picture and makes the sound that belongs to it. */

export { Bundle, type OnBytes } from "./bundle";
export type { Options } from "./call";
export { EchoesWorker, type Watch } from "./client";
export type { OnStep } from "./decode";
export { missingWebGpu, type DeviceName, type DeviceWish, type WasmPaths } from "./device";
export { Echoes, type LoadOptions } from "./echoes";
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
export type { Labels, Manifest, MelSpec } from "./manifest";
export { MAX_SEED } from "./noise";
export type { Loaded, LoadRequest, Progress, SentOptions, StreamAsks } from "./protocol";
export { CONFIDENT, encodeWav, type Pair, type Picture, type Sound } from "./results";
export { described, type Sampling } from "./sampling";
export type { Task, Tasks } from "./tasks";

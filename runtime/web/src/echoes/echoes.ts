/** A loaded bundle and its tasks, the same as those of the Python runtime. */

import { Bundle, type OnBytes } from "./bundle";
import { Call, type Options } from "./call";
import { openDevice, type Device, type DeviceName, type DeviceWish, type WasmPaths } from "./device";
import { extend, inpaint, type Part } from "./fill_sound";
import { inpaintPicture, type Mask } from "./fill_picture";
import type { Pixels } from "./image";
import type { Manifest } from "./manifest";
import { Model } from "./model";
import type { Pair, Picture, Sound } from "./results";
import { MAX_DURATION_S, samplesIn, stream } from "./stream";

export interface LoadOptions {
  readonly device?: DeviceWish;
  /** CPU threads; by default as many as there are cores, up to four. */
  readonly threads?: number;
  /** Where ONNX Runtime's files lie, if not where its package has them. */
  readonly wasmPaths?: Record<DeviceName, WasmPaths>;
  readonly onBytes?: OnBytes;
}

/** Times that `cogenerate` draws the sound and then the picture of it. */
const DRAWS = 3n;

/**
 * Every task takes a seed, what `Sampling` says and `onStep`; every task throws an InputError if
 * something given cannot be used, and a CancelledError if `onStep` said so. Sounds are mono samples
 * at the bundle's rate.
 */
export class Echoes {
  constructor(readonly model: Model) {}

  /** Loads a bundle from the address of its folder. */
  static async load(url: string, options: LoadOptions = {}): Promise<Echoes> {
    const device = await openDevice(options.device ?? "auto", options);
    const bundle = await Bundle.load(url, options.onBytes);
    return new Echoes(new Model(bundle, device));
  }

  get manifest(): Manifest {
    return this.model.manifest;
  }

  get device(): Device {
    return this.model.device;
  }

  /** Makes the sound of a picture. */
  async imageToAudio(image: Pixels, options: Options = {}): Promise<Sound> {
    const call = new Call(this.model, options);
    const codes = await call.encodeImage(image);
    const confidence = await this.model.confidence(codes);
    const sound = await call.soundOf(call.unknown("audio"), codes);
    return confidence === undefined ? sound : { ...sound, confidence };
  }

  /** Makes the picture of the first clip of a sound. */
  async audioToImage(samples: Float32Array, options: Options = {}): Promise<Picture> {
    const call = new Call(this.model, options);
    const codes = await call.encodeAudio(samples);
    return call.pictureOf(call.unknown("image"), codes);
  }

  /** Makes a sound and the picture that belongs to it from nothing, then each anew in turns. */
  async cogenerate(options: Options = {}): Promise<Pair> {
    const call = new Call(this.model, options);
    let audio: Int32Array | null = null;
    let image: Int32Array | null = null;
    for (let draw = 0n; draw < DRAWS; draw++) {
      audio = await call.decode("audio", call.unknown("audio"), image, 2n * draw);
      image = await call.decode("image", call.unknown("image"), audio, 2n * draw + 1n);
    }
    const sampling = call.sampling("audio");
    return { sound: await call.hear(audio!, sampling), picture: await call.see(image!, sampling) };
  }

  /** A sound like the given one, of whose codes a share `keep` stays. */
  async varyAudio(samples: Float32Array, keep = 0.5, options: Options = {}): Promise<Sound> {
    const call = new Call(this.model, options);
    const codes = await call.encodeAudio(samples);
    return call.soundOf(call.thinned("audio", codes, keep), null);
  }

  /** A picture like the given one, of whose codes a share `keep` stays. */
  async varyImage(image: Pixels, keep = 0.5, options: Options = {}): Promise<Picture> {
    const call = new Call(this.model, options);
    const codes = await call.encodeImage(image);
    return call.pictureOf(call.thinned("image", codes, keep), null);
  }

  /** Makes a part of a sound anew; the rest stays, sample for sample. */
  async inpaintAudio(
    samples: Float32Array,
    part: Part,
    options: Options & { image?: Pixels } = {},
  ): Promise<Sound> {
    const call = new Call(this.model, options);
    const image = options.image ? await call.encodeImage(options.image) : null;
    return inpaint(call, samples, part, image);
  }

  /** A sound and `duration` seconds more of it. */
  async continueAudio(
    samples: Float32Array,
    duration = 5,
    options: Options & { image?: Pixels } = {},
  ): Promise<Sound> {
    const call = new Call(this.model, options);
    const image = options.image ? await call.encodeImage(options.image) : null;
    return extend(call, samples, duration, image);
  }

  /**
   * The sound of a picture in parts, in constant memory; the codes of a part are those of the
   * newest window.
   *
   * @param image - A picture, or what gives the one to be heard from a second of the sound on.
   * @param options - `duration`: seconds in all; without it the sound never ends.
   */
  async *stream(
    image: Pixels | ((second: number) => Pixels | Promise<Pixels>),
    { duration, ...options }: Options & { duration?: number } = {},
  ): AsyncGenerator<Sound, void, undefined> {
    const rate = this.manifest.mel.sample_rate;
    const nSamples = duration === undefined ? Infinity : samplesIn(duration, MAX_DURATION_S, rate);
    const call = new Call(this.model, options);
    if (typeof image === "function") {
      yield* stream(call, async (second) => call.encodeImage(await image(second)), nSamples);
    } else {
      const codes = await call.encodeImage(image);
      yield* stream(call, async () => codes, nSamples);
    }
  }

  /** Makes a part of a picture anew; it comes back at the model's size. */
  async inpaintImage(
    image: Pixels,
    mask: Mask,
    options: Options & { audio?: Float32Array } = {},
  ): Promise<Picture> {
    const call = new Call(this.model, options);
    const audio = options.audio ? await call.encodeAudio(options.audio) : null;
    return inpaintPicture(call, image, mask, audio);
  }
}

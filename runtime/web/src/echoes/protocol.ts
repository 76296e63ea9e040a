/** What a page and its worker say to each other. */

import type { Options } from "./call";
import type { LoadOptions } from "./echoes";
import type { Mask } from "./fill_picture";
import type { Part } from "./fill_sound";
import type { Pixels } from "./image";
import type { Labels, MelSpec } from "./manifest";
import type { Pair, Picture, Sound } from "./results";
import type { Sampling } from "./sampling";

/** The options that can be sent; steps are reported by messages. */
export type SentOptions = Omit<Options, "onStep">;

export interface Tasks {
  imageToAudio: { asks: { image: Pixels }; gives: Sound };
  audioToImage: { asks: { samples: Float32Array }; gives: Picture };
  cogenerate: { asks: object; gives: Pair };
  varyAudio: { asks: { samples: Float32Array; keep: number }; gives: Sound };
  varyImage: { asks: { image: Pixels; keep: number }; gives: Picture };
  continueAudio: {
    asks: { samples: Float32Array; duration?: number; image?: Pixels };
    gives: Sound;
  };
  inpaintAudio: { asks: { samples: Float32Array; part: Part; image?: Pixels }; gives: Sound };
  inpaintImage: { asks: { image: Pixels; mask: Mask; audio?: Float32Array }; gives: Picture };
  /** The log-mel (n_mels, n_frames) of a sound's first clip, to be seen. */
  clipMel: { asks: { samples: Float32Array }; gives: Float32Array };
}

export type Task = keyof Tasks;

/** What a long sound is made of, and its seconds; without them it never ends. */
export interface StreamAsks {
  readonly image: Pixels;
  readonly duration?: number;
}

export type LoadRequest = Omit<LoadOptions, "onBytes"> & { readonly url: string };

export type Request =
  | { readonly id: number; readonly kind: "load"; readonly options: LoadRequest }
  | {
      readonly id: number;
      readonly kind: "run";
      readonly task: Task;
      readonly asks: Tasks[Task]["asks"];
      readonly options: SentOptions;
    }
  | {
      readonly id: number;
      readonly kind: "stream";
      readonly asks: StreamAsks;
      readonly options: SentOptions;
    }
  /** Asks for the next part of a stream, which is null after its end. */
  | { readonly id: number; readonly kind: "next"; readonly stream: number }
  | { readonly id: number; readonly kind: "close" }
  | { readonly id: number; readonly kind: "cancel" };

/** What a page should know of a loaded bundle. */
export interface Loaded {
  readonly bundle: string;
  readonly license: string;
  readonly labels: Labels;
  readonly sizeBytes: number;
  /** Whether it loads without a network from now on. */
  readonly isKept: boolean;
  readonly mel: MelSpec;
  readonly image: { readonly height: number; readonly width: number };
  readonly sampling: Sampling;
  readonly device: { readonly name: string; readonly label: string; readonly reason: string };
}

export interface Progress {
  readonly stage: "download" | "prepare" | "decode";
  readonly done: number;
  readonly total: number;
}

export type Response =
  | { readonly id: number; readonly kind: "progress"; readonly progress: Progress }
  | { readonly id: number; readonly kind: "result"; readonly result: unknown }
  | { readonly id: number; readonly kind: "error"; readonly name: string; readonly message: string };

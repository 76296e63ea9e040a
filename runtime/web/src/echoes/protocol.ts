/** What a page and its worker say to each other. */

import type { Options } from "./call";
import type { LoadOptions } from "./echoes";
import type { Pixels } from "./image";
import type { Labels, MelSpec } from "./manifest";
import type { Sampling } from "./sampling";
import type { Task } from "./tasks";

/** The options that can be sent; steps are reported by messages. */
export type SentOptions = Omit<Options, "onStep">;

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
      readonly asks: object;
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

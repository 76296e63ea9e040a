/** Runs one bundle in a Web Worker, so that the page stays responsive. */

import type { Options } from "./call";
import { BackendError, messageOf } from "./errors";
import { Echoes } from "./pipeline";
import type { Loaded, LoadRequest, Progress, Request, Response, Verb, Verbs } from "./protocol";
import { GRAPHS } from "./signatures";

type Runner<V extends Verb> = (
  echoes: Echoes,
  asks: Verbs[V]["asks"],
  options: Options,
) => Promise<Verbs[V]["gives"]>;

const RUNNERS: { [V in Verb]: Runner<V> } = {
  imageToAudio: (echoes, { image }, options) => echoes.imageToAudio(image, options),
  audioToImage: (echoes, { samples }, options) => echoes.audioToImage(samples, options),
  cogenerate: (echoes, _, options) => echoes.cogenerate(options),
  varyAudio: (echoes, { samples, keep }, options) => echoes.varyAudio(samples, keep, options),
  varyImage: (echoes, { image, keep }, options) => echoes.varyImage(image, keep, options),
  inpaintAudio: (echoes, { samples, part, image }, options) =>
    echoes.inpaintAudio(samples, part, { ...options, ...(image && { image }) }),
  inpaintImage: (echoes, { image, mask, audio }, options) =>
    echoes.inpaintImage(image, mask, { ...options, ...(audio && { audio }) }),
};

const scope = self as unknown as DedicatedWorkerGlobalScope;
const cancelled = new Set<number>();
let loaded: Echoes | undefined;
let last: Promise<void> = Promise.resolve();

scope.onmessage = ({ data }: MessageEvent<Request>) => {
  if (data.kind === "cancel") {
    cancelled.add(data.id);
  } else {
    // One after the other: graphs are not run side by side.
    last = last.then(() => answer(data));
  }
};

async function answer(request: Exclude<Request, { kind: "cancel" }>): Promise<void> {
  const { id } = request;
  const say = (response: Response) => scope.postMessage(response);
  const onProgress = (progress: Progress) => say({ id, kind: "progress", progress });
  try {
    const result =
      request.kind === "load"
        ? await load(request.options, onProgress)
        : await run(request, onProgress);
    say({ id, kind: "result", result });
  } catch (error) {
    const name = error instanceof Error ? error.name : "Error";
    say({ id, kind: "error", name, message: messageOf(error) });
  } finally {
    cancelled.delete(id);
  }
}

async function load(
  { url, ...options }: LoadRequest,
  onProgress: (progress: Progress) => void,
): Promise<Loaded> {
  const old = loaded;
  loaded = undefined;
  await old?.engine.release();
  const echoes = await Echoes.load(url, {
    ...options,
    onBytes: (done, total) => onProgress({ stage: "download", done, total }),
  });
  const { manifest, device, engine } = echoes;
  const names = GRAPHS.filter((name) => name in manifest.graphs);
  for (const [done, name] of names.entries()) {
    onProgress({ stage: "prepare", done, total: names.length });
    await engine.prepare(name);
  }
  loaded = echoes;
  return {
    bundle: manifest.name,
    license: manifest.license,
    labels: manifest.labels,
    sizeBytes: engine.bundle.sizeBytes,
    mel: manifest.mel,
    image: { height: manifest.image.height, width: manifest.image.width },
    sampling: manifest.sampling,
    device: { name: device.name, label: device.label, reason: device.reason },
  };
}

async function run(
  { id, verb, asks, dials }: Extract<Request, { kind: "run" }>,
  onProgress: (progress: Progress) => void,
): Promise<unknown> {
  if (!loaded) throw new BackendError("no bundle is loaded; load one first");
  const options: Options = {
    ...dials,
    onStep: async (step, steps) => {
      onProgress({ stage: "decode", done: step + 1, total: steps });
      await messages();
      return !cancelled.has(id);
    },
  };
  const runner = RUNNERS[verb] as Runner<Verb>;
  return runner(loaded, asks as Verbs[Verb]["asks"] & never, options);
}

/** Lets messages in: ONNX Runtime's promises are kept before any message is looked at. */
function messages(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

/** Runs one bundle in a Web Worker, so that the page stays responsive. */

import type { OnStep } from "./decode";
import { Echoes } from "./echoes";
import { BackendError, CancelledError, messageOf } from "./errors";
import { GRAPHS } from "./manifest";
import type { Loaded, LoadRequest, Progress, Request, Response } from "./protocol";
import type { Sound } from "./results";
import { run } from "./tasks";

const scope = self as unknown as DedicatedWorkerGlobalScope;
const cancelled = new Set<number>();
/** Streams that are not at their end, by the request that began them. */
const streams = new Map<number, AsyncGenerator<Sound, void, undefined>>();
/** The request that is being answered. */
let current = -1;
let loaded: Echoes | undefined;
let last: Promise<void> = Promise.resolve();

scope.onmessage = ({ data }: MessageEvent<Request>) => {
  if (data.kind === "cancel") {
    cancelled.add(data.id);
  } else if (data.kind === "close") {
    streams.delete(data.id);
  } else {
    // One after the other: graphs are not run side by side.
    last = last.then(() => answer(data));
  }
};

/** What is answered. */
type Asked = Exclude<Request, { kind: "cancel" | "close" }>;

async function answer(request: Asked): Promise<void> {
  const { id } = request;
  current = id;
  try {
    if (cancelled.has(id)) throw new CancelledError("cancelled before it began");
    say({ id, kind: "result", result: await resultOf(request) });
  } catch (error) {
    const name = error instanceof Error ? error.name : "Error";
    say({ id, kind: "error", name, message: messageOf(error) });
  } finally {
    cancelled.delete(id);
  }
}

async function resultOf(request: Asked): Promise<unknown> {
  if (request.kind === "load") return load(request.options);
  if (request.kind === "next") return nextPart(request.stream);
  if (!loaded) throw new BackendError("no bundle is loaded; load one first");
  const options = { ...request.options, onStep };
  if (request.kind === "stream") {
    const { image, ...asks } = request.asks;
    streams.set(request.id, loaded.stream(image, { ...options, ...asks }));
    return null;
  }
  return run(loaded, request.task, request.asks, options);
}

async function load({ url, ...options }: LoadRequest): Promise<Loaded> {
  const old = loaded;
  loaded = undefined;
  streams.clear();
  await old?.model.release();
  const echoes = await Echoes.load(url, {
    ...options,
    onBytes: (done, total) => onProgress({ stage: "download", done, total }),
  });
  const { manifest, device, model } = echoes;
  const names = GRAPHS.filter((name) => name in manifest.graphs);
  for (const [done, name] of names.entries()) {
    onProgress({ stage: "prepare", done, total: names.length });
    await model.prepare(name);
  }
  loaded = echoes;
  return {
    bundle: manifest.name,
    license: manifest.license,
    labels: manifest.labels,
    sizeBytes: model.bundle.sizeBytes,
    isKept: model.bundle.isKept,
    mel: manifest.mel,
    image: { height: manifest.image.height, width: manifest.image.width },
    sampling: manifest.sampling,
    device: { name: device.name, label: device.label, reason: device.reason },
  };
}

async function nextPart(stream: number): Promise<Sound | null> {
  const parts = streams.get(stream);
  if (!parts) throw new BackendError("this stream has ended, or another bundle was loaded since");
  const { value } = await parts.next();
  return value ?? null;
}

const onStep: OnStep = async (step, steps) => {
  onProgress({ stage: "decode", done: step + 1, total: steps });
  await messages();
  return !cancelled.has(current);
};

function onProgress(progress: Progress): void {
  say({ id: current, kind: "progress", progress });
}

function say(response: Response): void {
  scope.postMessage(response);
}

/** Lets messages in: ONNX Runtime's promises are kept before any message is looked at. */
function messages(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

/** Echoes in a Web Worker: the page's side. */

import * as errors from "./errors";
import type {
  Loaded,
  LoadRequest,
  Progress,
  Request,
  Response,
  SentOptions,
  StreamAsks,
} from "./protocol";
import type { Sound } from "./results";
import type { Task, Tasks } from "./tasks";

export interface Watch {
  readonly onProgress?: (progress: Progress) => void;
  /** Aborting it ends the call with a CancelledError after the step that is under way. */
  readonly signal?: AbortSignal;
}

interface Pending {
  readonly resolve: (result: never) => void;
  readonly reject: (error: Error) => void;
  readonly watch: Watch;
}

/** Calls are answered one after the other, in the order in which they were made. */
export class EchoesWorker {
  private readonly pending = new Map<number, Pending>();
  private nextId = 0;

  /** @param worker - Runs `worker.ts`. */
  constructor(private readonly worker: Worker) {
    worker.onmessage = ({ data }: MessageEvent<Response>) => this.receive(data);
    worker.onerror = (event) => this.failAll(event.message || "the worker cannot be started");
  }

  load(options: LoadRequest, watch: Pick<Watch, "onProgress"> = {}): Promise<Loaded> {
    return this.ask({ id: this.nextId++, kind: "load", options }, watch);
  }

  run<T extends Task>(
    task: T,
    asks: Tasks[T]["asks"],
    options: SentOptions = {},
    watch: Watch = {},
  ): Promise<Tasks[T]["gives"]> {
    return this.ask({ id: this.nextId++, kind: "run", task, asks, options }, watch);
  }

  /**
   * The sound of a picture in parts; the next one is made when it is asked for. Between two parts
   * other calls are answered.
   */
  async *stream(
    asks: StreamAsks,
    options: SentOptions = {},
    watch: Watch = {},
  ): AsyncGenerator<Sound, void, undefined> {
    const stream = this.nextId++;
    try {
      await this.ask<null>({ id: stream, kind: "stream", asks, options }, watch);
      for (;;) {
        const next: Request = { id: this.nextId++, kind: "next", stream };
        const part = await this.ask<Sound | null>(next, watch);
        if (!part) return;
        yield part;
      }
    } finally {
      this.send({ id: stream, kind: "close" });
    }
  }

  terminate(): void {
    this.worker.terminate();
    this.failAll("the worker was ended");
  }

  private async ask<T>(request: Request, watch: Watch): Promise<T> {
    const { signal } = watch;
    if (signal?.aborted) throw new errors.CancelledError("cancelled before it began");
    const cancel = () => this.send({ id: request.id, kind: "cancel" });
    signal?.addEventListener("abort", cancel);
    try {
      return await new Promise<T>((resolve, reject) => {
        this.pending.set(request.id, { resolve, reject, watch });
        this.send(request);
      });
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
  }

  private send(request: Request): void {
    this.worker.postMessage(request);
  }

  private receive(response: Response): void {
    const pending = this.pending.get(response.id);
    if (!pending) return;
    const { onProgress, signal } = pending.watch;
    if (response.kind === "progress") {
      if (!signal?.aborted) onProgress?.(response.progress);
      return;
    }
    this.pending.delete(response.id);
    // The worker looks for cancellation between steps alone: what came after the last is dropped.
    if (signal?.aborted) pending.reject(new errors.CancelledError("cancelled"));
    else if (response.kind === "result") pending.resolve(response.result as never);
    else pending.reject(revived(response.name, response.message));
  }

  private failAll(message: string): void {
    for (const { reject } of this.pending.values()) reject(new errors.BackendError(message));
    this.pending.clear();
  }
}

/** An error of the worker as one of the same class here. */
function revived(name: string, message: string): Error {
  const classes = errors as unknown as Record<string, new (message: string) => Error>;
  return new (classes[name] ?? Error)(message);
}

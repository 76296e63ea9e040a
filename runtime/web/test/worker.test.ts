import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";

import { BackendError, CancelledError, InputError } from "../src/echoes/errors";
import { EchoesWorker } from "../src/echoes/client";
import type { Progress, Response } from "../src/echoes/protocol";
import type { Sound } from "../src/echoes/results";
import { bytes, EXPECTED, readJson, serve, TEST_BUNDLE, whole } from "./fixtures";

const { answers } = readJson(EXPECTED);
const image = { ...answers.image, rgb: bytes(answers.image.rgb) };
const clip: number = answers.clip_s;

type Port = Pick<Worker, "postMessage" | "onmessage">;

/** Two ends that copy what they are told to each other, a little later, as a worker's do. */
function channel(): [Port, Port] {
  const ends = [0, 1].map((i): Port => ({
    onmessage: null,
    postMessage(data: unknown) {
      const copy = structuredClone(data);
      setTimeout(() => ends[1 - i]!.onmessage!.call(null as never, { data: copy } as MessageEvent));
    },
  }));
  return [ends[0]!, ends[1]!];
}

let echoes: EchoesWorker;
let url: string;
const said: { kind: string }[] = [];
const answered: Response[] = [];

beforeAll(async () => {
  const [here, there] = channel();
  const reply = there.postMessage.bind(there) as (data: unknown) => void;
  there.postMessage = (data: Response) => {
    answered.push(data);
    reply(data);
  };
  vi.stubGlobal("self", there);
  await import("../src/echoes/worker");
  const send = here.postMessage.bind(here) as (data: unknown) => void;
  const spied = Object.assign(here, {
    postMessage: (data: { kind: string }) => {
      said.push(data);
      send(data);
    },
  });
  echoes = new EchoesWorker(spied as unknown as Worker);
  url = serve(TEST_BUNDLE);
  await echoes.load({ url, threads: 1 });
});

afterAll(() => vi.unstubAllGlobals());
beforeEach(() => {
  said.splice(0);
  answered.splice(0);
});

const codesOf = (sound: Sound) => [...sound.codes];
const first = answers.runs[1];
const ask = { image, duration: 2.5 * clip };

describe("a worker's stream", () => {
  it("is the one of the same seed, and is closed at its end", async () => {
    const parts: Sound[] = [];
    for await (const part of echoes.stream(ask, { seed: BigInt(first.seed) })) parts.push(part);
    expect(codesOf(parts.at(-1)!)).toEqual(first.stream);
    // One more is asked for than there are.
    const nexts = ["", ...parts].map(() => "next");
    expect(said.map(({ kind }) => kind)).toEqual(["stream", ...nexts, "close"]);
  });

  it("lets other calls in between two parts", async () => {
    const parts = echoes.stream({ image }, { seed: 5 });
    const before = (await parts.next()).value!;
    const other = await echoes.run("imageToAudio", { image }, { seed: BigInt(first.seed) });
    expect(codesOf(other)).toEqual(first.imageToAudio);
    const after = (await parts.next()).value!;
    await parts.return();
    const again = echoes.stream({ image }, { seed: 5 });
    expect((await again.next()).value!.samples).toEqual(before.samples);
    expect((await again.next()).value!.samples).toEqual(after.samples);
    await again.return();
  });

  it("is closed when the loop is left", async () => {
    for await (const part of echoes.stream({ image })) {
      expect(part.samples.length).toBeGreaterThan(0);
      break;
    }
    expect(said.at(-1)!.kind).toBe("close");
    expect(said.filter(({ kind }) => kind === "next")).toHaveLength(1);
  });

  it("is cancelled by its signal, which nothing listens to afterwards", async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const added = vi.spyOn(signal, "addEventListener");
    const removed = vi.spyOn(signal, "removeEventListener");
    let nSteps = 0;
    const onProgress = () => void (++nSteps === 9 && controller.abort());
    const parts = echoes.stream({ image }, {}, { onProgress, signal });
    await expect(whole(parts)).rejects.toThrow(CancelledError);
    expect(nSteps).toBeLessThan(12);
    expect(removed).toHaveBeenCalledTimes(added.mock.calls.length);
    await expect(echoes.run("cogenerate", {}, {}, { signal })).rejects.toThrow(CancelledError);
  });

  it("of a length that cannot be is refused, and of a bundle that is gone", async () => {
    await expect(whole(echoes.stream({ image, duration: -1 }))).rejects.toThrow(InputError);
    const parts = echoes.stream({ image });
    await parts.next();
    await echoes.load({ url, threads: 1 });
    await expect(parts.next()).rejects.toThrow(BackendError);
  });
});

describe("a call that is cancelled", () => {
  it("after its last step ends with a CancelledError", async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const onProgress = ({ done, total }: Progress) => void (done === total && controller.abort());
    const made = echoes.run("imageToAudio", { image }, {}, { onProgress, signal });
    await expect(made).rejects.toThrow(CancelledError);
    expect(answered.at(-1)!.kind).toBe("result"); // the worker did not see it in time
  });

  it("while another one runs is not begun", async () => {
    const controller = new AbortController();
    const before = echoes.run("imageToAudio", { image }, {});
    const replaced = echoes.run("cogenerate", {}, {}, { signal: controller.signal });
    setTimeout(() => controller.abort());
    await expect(replaced).rejects.toThrow(CancelledError);
    expect((await before).codes.length).toBeGreaterThan(0);
    const { id } = answered.at(-1)!;
    expect(answered.filter((response) => response.id === id)).toEqual([
      { id, kind: "error", name: "CancelledError", message: "cancelled before it began" },
    ]);
  });

  it("hears no more of it, whatever the worker says", async () => {
    const worker = { postMessage: vi.fn() } as unknown as Worker;
    const client = new EchoesWorker(worker);
    const say = (data: Response) => worker.onmessage!({ data } as MessageEvent);
    const onProgress = vi.fn();
    const answers: Response[] = [
      { id: 0, kind: "result", result: {} },
      { id: 1, kind: "error", name: "BackendError", message: "out of memory" },
    ];
    for (const answer of answers) {
      const controller = new AbortController();
      const { signal } = controller;
      const made = client.run("cogenerate", {}, {}, { onProgress, signal });
      controller.abort();
      const progress: Progress = { stage: "decode", done: 1, total: 2 };
      say({ id: answer.id, kind: "progress", progress });
      say(answer);
      await expect(made).rejects.toThrow(CancelledError);
    }
    expect(onProgress).not.toHaveBeenCalled();
  });
});

it("a worker shows a sound's first clip", async () => {
  const { mel } = await echoes.load({ url, threads: 1 });
  const shown = await echoes.run("clipMel", { samples: new Float32Array(700) });
  expect(shown).toHaveLength(mel.n_mels * mel.n_frames);
  expect(shown.every((value) => value === -1)).toBe(true); // silence
});

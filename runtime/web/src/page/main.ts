/** The page: drop a picture, hear its sound; drop a sound, see its picture. */

import sampleUrl from "../../../../docs/demo/watch.jpg?url";
import {
  BackendError,
  CancelledError,
  CONFIDENT,
  EchoesWorker,
  InputError,
  messageOf,
  type DeviceName,
  type Loaded,
  type MelSpec,
  type Picture,
  type Pixels,
  type Progress,
  type SentOptions,
  type Sound,
} from "../echoes";
import { offerWebGpu, RUNTIME_FILES } from "./devices";
import { page } from "./elements";
import { makeLong } from "./long_sound";
import { readPicture, readSound, save } from "./media";
import { keepPage } from "./offline";
import { playedFile, startPlayer } from "./player";
import { askedLength, askedOptions, askedSeed } from "./settings";
import { clearCard, showAbout, showFacts, showPicture, showSound } from "./show";

type Source =
  | { readonly kind: "picture"; readonly pixels: Pixels }
  /** A clip, and its log-mel once it is shown. */
  | { readonly kind: "sound"; readonly samples: Float32Array; mel?: Float32Array }
  | { readonly kind: "nothing" };

const echoes = new EchoesWorker(
  new Worker(new URL("./worker.ts", import.meta.url), { type: "module" }),
);
/** Undefined while a model is being loaded, and if none could be. */
let loaded: Loaded | undefined;
let isLoading = true;
let isPageKept = false;
let source: Source | undefined;
let made: { sound?: Sound; picture?: Picture } = {};
let running: AbortController | undefined;

/** Shows what goes wrong in `work` as one sentence. */
async function attempt(work: () => Promise<void>): Promise<void> {
  page.problem.textContent = "";
  try {
    await work();
  } catch (error) {
    if (error instanceof CancelledError) {
      // By another call, if one is running: then its own words count.
      if (!running) page.status.textContent = "Cancelled";
    } else {
      const hasFailed = !loaded && !isLoading;
      const words = hasFailed ? "No model; reload the page to try again" : "";
      if (!running) page.status.textContent = words;
      page.problem.textContent = messageOf(error);
    }
  }
}

function showProgress({ stage, done, total }: Progress): void {
  page.progress.classList.remove("idle");
  page.progress.max = total;
  page.progress.value = done;
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(0);
  // The stage is announced, how far it is only shown.
  const [text, detail] = {
    download: ["Loading the model", `${megabytes(done)} of ${megabytes(total)} MB`],
    prepare: ["Preparing the model", `${done} of ${total} graphs`],
    decode: ["Making it", `step ${done} of ${total}`],
  }[stage];
  if (page.status.textContent !== text) page.status.textContent = text!;
  page.step.textContent = detail!;
}

/** Buttons stay enabled while something is made: a new wish replaces it, and focus is not lost. */
function showState(): void {
  page.another.disabled = page.remake.disabled = !loaded || !source;
  page.nothing.disabled = !loaded;
  const isBusy = isLoading || running !== undefined;
  page.progress.classList.toggle("idle", !isBusy);
  page.progress.removeAttribute("value"); // nothing is known yet
  page.step.textContent = "";
  showAbout(loaded, isPageKept);
}

async function load(device: DeviceName): Promise<void> {
  [loaded, isLoading] = [undefined, true];
  page.device.value = device;
  showState();
  const url = new URL("bundle/", document.baseURI).href;
  const options = { url, device, wasmPaths: RUNTIME_FILES };
  try {
    loaded = await echoes.load(options, { onProgress: showProgress });
  } catch (error) {
    if (device === "wasm") throw error;
    await load("wasm");
    page.problem.textContent = `WebGPU failed, so WebAssembly is used: ${messageOf(error)}`;
    return;
  } finally {
    isLoading = false;
    showState();
  }
  const { sampling } = loaded;
  page.steps.placeholder = String(sampling.steps);
  page.guidance.placeholder = String(sampling.guidanceScale);
  page.temperature.placeholder = String(sampling.temperature);
  page.length.placeholder = clipSeconds(loaded.mel).toFixed(1);
  page.device.value = loaded.device.name;
  page.status.textContent = "Ready";
}

/** @throws if there is none, and says why. */
function model(): Loaded {
  if (loaded) return loaded;
  throw isLoading
    ? new InputError("the model is still being loaded; try again in a moment")
    : new BackendError("the model could not be loaded, so nothing can be made");
}

function clipSeconds(mel: MelSpec): number {
  return (mel.n_frames * mel.hop_length) / mel.sample_rate;
}

async function make(): Promise<void> {
  if (!source) return;
  const { mel } = model();
  running?.abort();
  const controller = new AbortController();
  running = controller;
  const watch = { onProgress: showProgress, signal: controller.signal };
  showState();
  page.cancel.hidden = false;
  page.status.textContent = "Making it";
  const start = performance.now();
  try {
    await makeFrom(source, mel, askedOptions(), watch);
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    const isGuess = (made.sound?.confidence ?? 1) < CONFIDENT;
    page.status.textContent =
      `Made in ${seconds} s` + (isGuess ? "; a guess: the model knows nothing like it" : "");
  } finally {
    if (running === controller) {
      running = undefined;
      if (document.activeElement === page.cancel) page.another.focus();
      page.cancel.hidden = true;
      showState();
    }
  }
}

async function makeFrom(
  from: Source,
  mel: MelSpec,
  options: SentOptions,
  watch: { onProgress: (progress: Progress) => void; signal: AbortSignal },
): Promise<void> {
  if (from.kind === "picture") {
    const [image, duration] = [from.pixels, askedLength()];
    clearCard("sound");
    const sound =
      duration === undefined
        ? await echoes.run("imageToAudio", { image }, options, watch)
        : await makeLong(echoes, { image, duration }, options, { mel, signal: watch.signal });
    made = { sound };
    showSound(sound, mel, "made");
    showFacts([sound], duration === undefined ? "Sound codes" : "Last sound codes");
  } else if (from.kind === "sound") {
    clearCard("picture");
    const { samples } = from;
    if (!from.mel) {
      from.mel = await echoes.run("clipMel", { samples }, {}, watch);
      showSound({ samples, mel: from.mel }, mel, "given");
    }
    const picture = await echoes.run("audioToImage", { samples }, options, watch);
    made = { picture };
    showPicture(picture.pixels, "made");
    showFacts([picture]);
  } else {
    clearCard("sound");
    clearCard("picture");
    const { sound, picture } = await echoes.run("cogenerate", {}, options, watch);
    made = { sound, picture };
    showPicture(picture.pixels, "made");
    showSound(sound, mel, "made");
    showFacts([sound, picture]);
  }
}

/** Takes a picture as what to make a sound of. */
async function givePicture(pixels: Pixels): Promise<void> {
  model(); // else nothing is taken
  source = { kind: "picture", pixels };
  showPicture(pixels, "given");
  await make();
}

/** Takes the first clip of a sound as what to make a picture of. */
async function giveSound(samples: Float32Array): Promise<void> {
  const { mel } = model();
  source = { kind: "sound", samples: samples.slice(0, mel.n_frames * mel.hop_length) };
  await make();
}

async function giveFile(file: File | undefined): Promise<void> {
  if (!file) return;
  const { image, mel } = model();
  if (file.type.startsWith("image/")) {
    await givePicture(await readPicture(file, file.name, image));
  } else if (file.type.startsWith("audio/") || file.type === "") {
    await giveSound(await readSound(file, file.name, mel.sample_rate));
  } else {
    throw new InputError(`${file.name} is neither a picture nor a sound`);
  }
}

async function giveSample(): Promise<void> {
  const response = await fetch(sampleUrl);
  const type = response.headers.get("content-type") ?? "";
  await giveFile(new File([await response.blob()], "the sample", { type }));
}

function listen(): void {
  const on = (button: HTMLButtonElement, work: () => Promise<void>) =>
    button.addEventListener("click", () => void attempt(work));
  for (const [button, field] of [
    [page.choosePicture, page.pictureFile],
    [page.chooseSound, page.soundFile],
  ] as const) {
    button.addEventListener("click", () => field.click());
    field.addEventListener("change", () => {
      const [file] = field.files ?? [];
      field.value = ""; // so that the same file can be chosen again
      void attempt(() => giveFile(file));
    });
  }
  on(page.sample, giveSample);
  on(page.hear, async () => made.picture && givePicture(made.picture.pixels));
  on(page.see, async () => made.sound && giveSound(made.sound.samples));
  on(page.another, async () => {
    page.seed.value = String(BigInt.asUintN(64, askedSeed() + 1n));
    await make();
  });
  on(page.nothing, async () => {
    source = { kind: "nothing" };
    await make();
  });
  page.make.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!page.remake.disabled) void attempt(make);
  });
  page.cancel.addEventListener("click", () => running?.abort());
  page.savePicture.addEventListener("click", () => {
    page.picture.toBlob((blob) => blob && save(blob, `echo-${made.picture?.seed}.png`));
  });
  page.saveSound.addEventListener("click", () => {
    const file = playedFile();
    if (file) save(file, `echo-${made.sound?.seed}.wav`);
  });
  page.device.addEventListener(
    "change",
    () => void attempt(() => load(page.device.value as DeviceName)),
  );
}

/** Files may be dropped, or pasted, anywhere. */
function listenForFiles(): void {
  const frames = [page.pictureFrame, page.soundFrame];
  const highlight = (isOver: boolean) =>
    frames.forEach((frame) => frame.classList.toggle("over", isOver));
  window.addEventListener("dragover", (event) => {
    event.preventDefault();
    highlight(true);
  });
  window.addEventListener("dragleave", (event) => event.relatedTarget ?? highlight(false));
  window.addEventListener("drop", (event) => {
    event.preventDefault();
    highlight(false);
    void attempt(() => giveFile(event.dataTransfer?.files[0]));
  });
  window.addEventListener("paste", (event) => {
    const file = event.clipboardData?.files[0];
    if (file) void attempt(() => giveFile(file));
  });
}

listen();
listenForFiles();
startPlayer();
// Asked only when it may be chosen: a browser without a card says so on its console.
page.settings.addEventListener("toggle", () => void offerWebGpu(), { once: true });
void attempt(() => load("wasm"));
void keepPage().then((isKept) => {
  isPageKept = isKept;
  showAbout(loaded, isPageKept);
});

/** The page: drop a picture, hear its sound; drop a sound, see its picture. */

import {
  BackendError,
  EchoesWorker,
  InputError,
  messageOf,
  type DeviceName,
  type Loaded,
  type Pair,
  type Picture,
  type Sound,
} from "../echoes";
import { listenForChanges } from "./changes";
import { page } from "./elements";
import { remember } from "./history";
import { makeLong } from "./long_sound";
import { readPicture, readSound, save } from "./media";
import { playedFile, startPlayer } from "./player";
import { cardOf, withGiven, withResult, type Scene, type ShownPicture, type Wish } from "./scene";
import { askedLength, askedOptions, askedSeed, offerWebGpu, RUNTIME_FILES } from "./settings";
import { showAbout, showModel, showScene } from "./show";
import { listenForFiles, showSamples, type Sample } from "./sources";
import { attempt, say, showBusy, showProgress, workAt } from "./work";

const echoes = new EchoesWorker(
  new Worker(new URL("../echoes/worker.ts", import.meta.url), { type: "module" }),
);
/** Undefined while a model is being loaded, and if none could be. */
let loaded: Loaded | undefined;
let isLoading = true;
let isPageKept = false;
let running: AbortController | undefined;
/** What the cards show; a result stays until the next one is there. */
let scene: Scene = { made: [], isLong: false };

/** Does what can fail. */
function dare(work: () => Promise<void>): void {
  void attempt(work, () => {
    // The status is of what runs now, not of what it has replaced.
    if (running) return undefined;
    return loaded || isLoading ? "" : "No model; reload the page to try again";
  });
}

/** Buttons stay enabled while something is made: a new wish replaces it, and focus is not lost. */
function showState(): void {
  page.another.disabled = page.remake.disabled = !loaded || !scene.wish;
  page.nothing.disabled = !loaded;
  // The strongest button is what comes next.
  page.choosePicture.className = scene.made.length ? "soft" : "";
  page.another.className = scene.made.length ? "" : "soft";
  showBusy(isLoading || running !== undefined);
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
  showModel(loaded);
  say("Ready");
}

/** @throws if there is none, and says why. */
function model(): Loaded {
  if (loaded) return loaded;
  throw isLoading
    ? new InputError("the model is still being loaded; try again in a moment")
    : new BackendError("the model could not be loaded, so nothing can be made");
}

/** Makes what was asked for last, with the settings of now. */
async function make(): Promise<void> {
  const { wish } = scene;
  if (!wish) return;
  const { mel } = model();
  running?.abort();
  const controller = new AbortController();
  running = controller;
  const start = performance.now();
  page.cancel.hidden = false;
  showState();
  showScene(scene, mel);
  workAt(cardOf(wish));
  say("One moment");
  try {
    const duration = wish.task === "imageToAudio" ? askedLength() : undefined;
    const result = await resultOf(wish, duration, controller.signal);
    scene = withResult(scene, result, duration !== undefined || wish.task === "continueAudio");
    showScene(scene, mel, true);
    remember(scene, (earlier) => dare(async () => bringBack(earlier)));
    say(`Made in ${((performance.now() - start) / 1000).toFixed(1)}\u00a0s`);
  } catch (error) {
    if (running === controller) showScene(scene, mel); // instead of half a long sound
    throw error;
  } finally {
    if (running === controller) {
      running = undefined;
      if (document.activeElement === page.cancel) page.another.focus();
      page.cancel.hidden = true;
      showState();
    }
  }
}

async function resultOf(
  { task, asks }: Wish,
  duration: number | undefined,
  signal: AbortSignal,
): Promise<Sound | Picture | Pair> {
  const [{ mel: spec }, options] = [model(), askedOptions()];
  if (task === "imageToAudio" && duration !== undefined) {
    return makeLong(echoes, { image: asks.image, duration }, options, { mel: spec, signal });
  }
  const watch = { onProgress: showProgress, signal };
  if (task === "audioToImage" && scene.sound?.samples !== asks.samples) {
    const { samples } = asks;
    const mel = await echoes.run("clipMel", { samples }, {}, watch);
    scene = withGiven(scene, { sound: { samples, mel, role: "yours" } });
    showScene(scene, spec);
  }
  return echoes.run(task, asks as never, options, watch);
}

async function ask(wish: Wish): Promise<void> {
  model(); // else nothing is taken
  scene = { ...scene, wish };
  await make();
}

/** Takes a picture as what to make a sound of. */
async function hear(picture: ShownPicture): Promise<void> {
  model();
  scene = withGiven(scene, { picture });
  await ask({ task: "imageToAudio", asks: { image: picture.pixels } });
}

/** Takes a sound as what to make a picture of; only its first clip counts. */
async function see(samples: Float32Array): Promise<void> {
  await ask({ task: "audioToImage", asks: { samples } });
}

async function giveFile(file: File | undefined): Promise<void> {
  if (!file) return;
  const { image, mel } = model();
  if (file.type.startsWith("image/")) {
    workAt("picture");
    await hear({ pixels: await readPicture(file, file.name, image), role: "yours" });
  } else if (file.type.startsWith("audio/") || file.type === "") {
    workAt("sound");
    const samples = await readSound(file, file.name, mel.sample_rate);
    await see(samples.slice(0, mel.n_frames * mel.hop_length));
  } else {
    throw new InputError(`${file.name} is neither a picture nor a sound`);
  }
}

async function takeSample({ name, url }: Sample): Promise<void> {
  const { image } = model();
  const file = await (await fetch(url)).blob();
  await hear({ pixels: await readPicture(file, name, image), role: "sample" });
}

/** Shows an earlier result, from which can be gone on. */
function bringBack(earlier: Scene): void {
  running?.abort();
  scene = earlier;
  page.seed.value = String(earlier.made[0]!.seed);
  showScene(scene, model().mel);
}

function listen(): void {
  const on = (button: HTMLButtonElement, work: () => Promise<void>) =>
    button.addEventListener("click", () => dare(work));
  on(page.hear, () => hear({ ...scene.picture!, role: "generated" }));
  on(page.see, () => {
    scene = withGiven(scene, { sound: { ...scene.sound!, role: "generated" } });
    return see(scene.sound!.samples);
  });
  on(page.another, async () => {
    page.seed.value = String(BigInt.asUintN(64, askedSeed() + 1n));
    await make();
  });
  on(page.nothing, () => ask({ task: "cogenerate", asks: {} }));
  page.make.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!page.remake.disabled) dare(make);
  });
  page.cancel.addEventListener("click", () => running?.abort());
  page.savePicture.addEventListener("click", () => {
    page.picture.toBlob((blob) => blob && save(blob, `echo-${scene.picture?.seed}.png`));
  });
  page.saveSound.addEventListener("click", () => {
    const file = playedFile();
    if (file) save(file, `echo-${scene.sound?.seed}.wav`);
  });
  page.device.addEventListener("change", () => dare(() => load(page.device.value as DeviceName)));
}

/** Has the browser keep the page's own files for when there is no network; says if it has them. */
async function keepPage(): Promise<boolean> {
  if (!import.meta.env.PROD) return false; // the developer's server has no service worker
  try {
    await navigator.serviceWorker.register("./service_worker.js");
    await navigator.serviceWorker.ready;
    // Other programs may have kept theirs under the same address.
    const names = (await caches.keys()).filter((name) => name.startsWith("echoes-rt-page "));
    const pages = names.map((cacheName) => caches.match("./", { cacheName }));
    return (await Promise.all(pages)).some((kept) => kept !== undefined);
  } catch {
    return false; // browsers have none of this on insecure pages, and may forbid it
  }
}

listen();
listenForFiles((file) => dare(() => giveFile(file)));
listenForChanges(
  () => scene,
  (wish) => dare(() => ask(wish)),
);
showSamples((sample) => dare(() => takeSample(sample)));
startPlayer();
// Asked only when it may be chosen: a browser without a card says so on its console.
page.settings.addEventListener("toggle", () => void offerWebGpu(), { once: true });
dare(() => load("wasm"));
void keepPage().then((isKept) => {
  isPageKept = isKept;
  showAbout(loaded, isPageKept);
});

/** What the page shows of media and of results. */

import type { Loaded, MelSpec, Picture, Pixels, Sampling, Sound } from "../echoes";
import { page } from "./elements";
import { drawPixels } from "./media";
import { put } from "./player";
import { drawSpectrogram } from "./spectrogram";

/** Whether a medium was given, or made of the other. */
export type Role = "given" | "made";

const MILLION = 1e6;

export function showPicture(pixels: Pixels, role: Role): void {
  drawPixels(page.picture, pixels);
  page.picture.setAttribute("aria-label", `The ${role} picture`);
  page.picture.hidden = false;
  page.pictureFrame.classList.add("full");
  page.pictureRole.textContent = role;
  page.hear.hidden = page.savePicture.hidden = role === "given";
}

export interface ShownSound {
  readonly samples: Float32Array;
  readonly mel: Float32Array;
}

export function showSound(sound: ShownSound, spec: MelSpec, role: Role): void {
  showSpectrogram(sound.mel, sound.samples.length, spec, `the ${role} sound`);
  page.soundRole.textContent = role;
  page.see.hidden = page.saveSound.hidden = role === "given";
  void put(sound.samples, spec.sample_rate, role === "made");
}

/** The log-mel of a sound of which so many samples are there. */
export function showGrowing(mel: Float32Array, nSamples: number, spec: MelSpec): void {
  showSpectrogram(mel, nSamples, spec, "the sound as far as it is made");
}

/** @param what - Whose spectrogram it is, for those who do not see it. */
function showSpectrogram(
  mel: Float32Array,
  nSamples: number,
  spec: MelSpec,
  what: string,
): void {
  drawSpectrogram(page.spectrogram, mel, spec);
  const seconds = (nSamples / spec.sample_rate).toFixed(1);
  const label =
    `Spectrogram of ${what}: ${seconds} seconds, ` +
    `${hertz(spec.f_min)} to ${hertz(spec.f_max)}`;
  page.spectrogram.setAttribute("aria-label", label);
  page.spectrogram.hidden = false;
  page.soundFrame.classList.add("full");
  page.soundFrame.querySelector(".high")!.textContent = hertz(spec.f_max);
  page.soundFrame.querySelector(".low")!.textContent = hertz(spec.f_min);
}

function hertz(frequency: number): string {
  return frequency >= 1000 ? `${(frequency / 1000).toFixed(1)} kHz` : `${frequency} Hz`;
}

/** Empties the card that a result is to appear in. */
export function clearCard(medium: "picture" | "sound"): void {
  if (medium === "picture") {
    page.picture.hidden = true;
    page.pictureFrame.classList.remove("full");
    page.pictureRole.textContent = "";
    page.hear.hidden = page.savePicture.hidden = true;
  } else {
    page.audio.pause();
    page.spectrogram.hidden = page.player.hidden = page.playhead.hidden = true;
    page.soundFrame.classList.remove("full");
    page.soundFrame.querySelectorAll(".axis").forEach((axis) => (axis.textContent = ""));
    page.soundRole.textContent = "";
    page.see.hidden = page.saveSound.hidden = true;
  }
}

/** How a result was made, for those who want to make it again elsewhere. */
export function showFacts(
  made: readonly (Sound | Picture)[],
  soundCodes = "Sound codes",
): void {
  const [first] = made;
  if (!first) return;
  const timings = Object.entries(first.timingsMs).map(
    ([stage, ms]) => `${stage} ${(ms / 1000).toFixed(2)} s`,
  );
  const facts: [string, string][] = [
    ["Model", first.bundle],
    ["Seed", String(first.seed)],
    ["Sampling", described(first.sampling)],
    ["Ran on", first.device],
    ["Took", timings.join(", ")],
    ...made.map((item): [string, string] => [
      "samples" in item ? soundCodes : "Picture codes",
      item.codes.join(" "),
    ]),
  ];
  page.facts.replaceChildren(
    ...facts.flatMap(([name, text]) => {
      const [term, description] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = name;
      description.textContent = text;
      description.dataset["fact"] = name;
      return [term, description];
    }),
  );
  page.made.hidden = false;
}

function described(sampling: Sampling): string {
  const [start, stop] = sampling.guidanceInterval.map((share) => `${Math.round(100 * share)} %`);
  const guidance =
    sampling.guidance === "folded"
      ? "guidance folded in"
      : `guidance ${sampling.guidanceScale}, ${sampling.guidanceSchedule}, ` +
        `from ${start} to ${stop} of the steps`;
  return (
    `${sampling.steps} step${sampling.steps === 1 ? "" : "s"}; ${guidance}; ` +
    `temperature ${sampling.temperature}`
  );
}

/** What runs, if anything does; `isPageKept` says that the page opens without its server. */
export function showAbout(loaded: Loaded | undefined, isPageKept: boolean): void {
  const sentences = ["Nothing leaves this machine."];
  if (loaded) {
    const size = `${(loaded.sizeBytes / MILLION).toFixed(1)} MB`;
    const model = `Model ${loaded.bundle} (${size}, ${loaded.license})`;
    sentences.unshift(`${model} on ${loaded.device.label}: ${loaded.device.reason}.`);
    const isKept = isPageKept && loaded.isKept;
    sentences.push(isKept ? "Works without a network." : "Needs the server at each start.");
  }
  page.about.textContent = sentences.join(" ");
}

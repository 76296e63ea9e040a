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
  showGrowing(sound.mel, spec);
  const seconds = (sound.samples.length / spec.sample_rate).toFixed(1);
  const range = `${hertz(spec.f_min)} to ${hertz(spec.f_max)}`;
  const label = `Spectrogram of the ${role} sound: ${seconds} seconds, ${range}`;
  page.spectrogram.setAttribute("aria-label", label);
  page.soundRole.textContent = role;
  page.see.hidden = page.saveSound.hidden = role === "given";
  void put(sound.samples, spec.sample_rate, role === "made");
}

/** The log-mel of a sound that is not whole yet. */
export function showGrowing(mel: Float32Array, spec: MelSpec): void {
  drawSpectrogram(page.spectrogram, mel, spec);
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
    `guidance ${sampling.guidanceScale}, ${sampling.guidanceSchedule}, ` +
    `from ${start} to ${stop} of the steps`;
  return (
    `${sampling.steps} step${sampling.steps === 1 ? "" : "s"}; ${guidance}; temperature ${sampling.temperature}; ` +
    `choice temperature ${sampling.choiceTemperature}`
  );
}

export function showAbout(loaded: Loaded, isKept: boolean): void {
  const size = `${(loaded.sizeBytes / MILLION).toFixed(1)} MB`;
  page.about.textContent =
    `Model ${loaded.bundle} (${size}, ${loaded.license}) on ${loaded.device.label}: ` +
    `${loaded.device.reason}. Nothing leaves this machine. ` +
    (isKept ? "Works without a network." : "Needs the server at each start.");
}

/** Shows a scene in the two cards. */

import { CONFIDENT, type Loaded, type MelSpec, type Pixels } from "../echoes";
import { suggestPart } from "./changes";
import { page } from "./elements";
import { showFacts } from "./facts";
import { drawPixels } from "./media";
import { put, takeOut } from "./player";
import type { Role, Scene, ShownPicture, ShownSound } from "./scene";
import { drawSpectrogram, hertz, showAxes } from "./spectrogram";

const MILLION = 1e6;

const NAMES: Record<Role, string> = {
  yours: "your",
  sample: "the sample",
  generated: "the generated",
  older: "an older",
};

/** What is drawn and in the player now. */
let drawn: { pixels?: Pixels; samples?: Float32Array } = {};

/** @param isPlaying - Whether a new sound is to be heard at once. */
export function showScene(scene: Scene, spec: MelSpec, isPlaying = false): void {
  const { picture, sound } = scene;
  showPicture(picture);
  showSound(sound, spec, isPlaying);
  drawn = { ...(picture && { pixels: picture.pixels }), ...(sound && { samples: sound.samples }) };
  showFacts(scene);
  const isGuess = scene.made.some(
    (item) => "samples" in item && (item.confidence ?? 1) < CONFIDENT,
  );
  page.unknown.textContent = isGuess ? "I do not know this picture: the sound is a guess." : "";
}

function showPicture(shown: ShownPicture | undefined): void {
  page.picture.hidden = page.changePicture.hidden = !shown;
  page.pictureFrame.classList.toggle("full", Boolean(shown));
  page.pictureRole.textContent = wordsOf(shown?.role, "picture");
  page.hear.hidden = page.savePicture.hidden = !isGenerated(shown?.role);
  if (!shown) return;
  if (drawn.pixels !== shown.pixels) drawPixels(page.picture, shown.pixels);
  page.picture.setAttribute("aria-label", `${NAMES[shown.role]} picture`);
}

function showSound(shown: ShownSound | undefined, spec: MelSpec, isPlaying: boolean): void {
  page.spectrogram.hidden = page.changeSound.hidden = !shown;
  page.soundFrame.classList.toggle("full", Boolean(shown));
  page.soundRole.textContent = wordsOf(shown?.role, "sound");
  page.see.hidden = page.saveSound.hidden = !isGenerated(shown?.role);
  if (!shown) {
    takeOut();
    return;
  }
  const { samples, mel, role } = shown;
  if (drawn.samples !== samples) {
    drawMel(mel, samples.length, spec);
    suggestPart(samples.length / spec.sample_rate);
    void put(samples, spec.sample_rate, isPlaying);
  }
  nameSpectrogram(`${NAMES[role]} sound`, samples.length, spec);
}

/** The log-mel of a sound of which so many samples are there; the next scene takes its place. */
export function showGrowing(mel: Float32Array, nSamples: number, spec: MelSpec): void {
  delete drawn.samples;
  takeOut();
  page.soundRole.textContent = "as far as it is made";
  page.see.hidden = page.saveSound.hidden = page.changeSound.hidden = true;
  page.spectrogram.hidden = false;
  page.soundFrame.classList.add("full");
  drawMel(mel, (mel.length / spec.n_mels) * spec.hop_length, spec);
  nameSpectrogram("the sound as far as it is made", nSamples, spec);
}

function drawMel(mel: Float32Array, nSamples: number, spec: MelSpec): void {
  drawSpectrogram(page.spectrogram, mel, spec);
  showAxes(nSamples / spec.sample_rate, spec);
}

/** @param what - Whose spectrogram it is, for those who do not see it. */
function nameSpectrogram(what: string, nSamples: number, spec: MelSpec): void {
  const seconds = (nSamples / spec.sample_rate).toFixed(1);
  page.spectrogram.setAttribute(
    "aria-label",
    `Spectrogram of ${what}: ${seconds} seconds, ${hertz(spec.f_min)} to ${hertz(spec.f_max)}`,
  );
}

const isGenerated = (role?: Role): boolean => role === "generated" || role === "older";

function wordsOf(role: Role | undefined, medium: "picture" | "sound"): string {
  const words = { sample: "a sample", generated: "generated", older: "generated before" };
  return role === "yours" ? `your ${medium}` : role ? words[role] : "";
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

/** What a loaded model says of itself: its defaults in the fields, its labels in a list. */
export function showModel({ sampling, mel, image, labels, device }: Loaded): void {
  for (const [name, field] of Object.entries(page.dials)) {
    field.placeholder = String(sampling[name as keyof typeof page.dials]);
  }
  page.dials.guidanceScale.disabled = sampling.guidance === "folded";
  page.length.placeholder = ((mel.n_frames * mel.hop_length) / mel.sample_rate).toFixed(1);
  page.device.value = device.name;
  page.pictureFrame.style.setProperty("--aspect", `${image.width} / ${image.height}`);
  const things = Object.entries(labels).map(([label, taught]) => thing(label, taught));
  page.knows.hidden = things.length === 0;
  page.labels.replaceChildren(...things);
}

/** A label, with the categories of the pictures that taught it where these say more. */
function thing(label: string, taught: readonly string[]): HTMLLIElement {
  const item = document.createElement("li");
  item.textContent = words(label);
  if (taught.some((category) => category !== label)) {
    const pictures = document.createElement("small");
    pictures.textContent = taught.map(words).join(", ");
    item.append(" ", pictures);
  }
  return item;
}

const words = (name: string): string => name.replaceAll("_", " ");

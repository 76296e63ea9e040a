/** The last results, to come back to. */

import { page } from "./elements";
import type { Scene } from "./scene";

const MOST = 8;
/** Long sounds and large pictures are many bytes; older ones make room for them. */
const MOST_BYTES = 200e6;
const THUMB = { height: 96, widths: { picture: 96, spectrogram: 144 } };

interface Entry {
  readonly scene: Scene;
  readonly button: HTMLButtonElement;
}

/** The newest is first. */
let entries: Entry[] = [];

/** Adds the result that the cards show; `show` brings it back. */
export function remember(scene: Scene, show: (scene: Scene) => void): void {
  const button = document.createElement("button");
  button.type = "button";
  const name = document.createElement("span");
  name.textContent = nameOf(scene);
  if (!page.picture.hidden) button.append(thumb("picture"));
  if (!page.spectrogram.hidden) button.append(thumb("spectrogram"));
  button.append(name);
  button.addEventListener("click", () => {
    show(scene);
    mark(scene);
  });
  entries.unshift({ scene, button });
  page.results.prepend(button);
  let bytes = 0;
  entries = entries.filter((entry, i) => {
    bytes += bytesOf(entry.scene);
    const isKept = i === 0 || (i < MOST && bytes <= MOST_BYTES);
    if (!isKept) entry.button.remove();
    return isKept;
  });
  page.history.hidden = false;
  mark(scene);
}

function nameOf({ made: [first, second] }: Scene): string {
  const what = second ? "both" : "samples" in first! ? "sound" : "picture";
  return `${what}, seed ${first!.seed}`;
}

function mark(scene: Scene): void {
  for (const entry of entries) {
    entry.button.setAttribute("aria-pressed", String(entry.scene === scene));
  }
}

function thumb(which: "picture" | "spectrogram"): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [THUMB.widths[which], THUMB.height];
  canvas.getContext("2d")!.drawImage(page[which], 0, 0, canvas.width, canvas.height);
  return canvas;
}

function bytesOf({ picture, sound }: Scene): number {
  return (
    (picture?.pixels.rgb.byteLength ?? 0) +
    (sound ? sound.samples.byteLength + sound.mel.byteLength : 0)
  );
}

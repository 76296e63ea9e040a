/** Plays a sound under its spectrogram. */

import { encodeWav } from "../echoes";
import { page } from "./elements";

/** The WAV file that is being played, for saving. */
let file: Blob | undefined;

export const playedFile = (): Blob | undefined => file;

export function startPlayer(): void {
  const { audio, play, seek, spectrogram } = page;
  play.addEventListener("click", () => void (audio.paused ? audio.play() : audio.pause()));
  seek.addEventListener("input", () => {
    audio.currentTime = Number(seek.value);
    showPosition();
  });
  spectrogram.addEventListener("click", (event) => {
    if (page.player.hidden) return;
    audio.currentTime = (event.offsetX / spectrogram.clientWidth) * duration();
    showPosition();
  });
  for (const change of ["play", "pause", "ended"]) {
    audio.addEventListener(change, () => {
      play.classList.toggle("playing", !audio.paused);
      play.setAttribute("aria-label", audio.paused ? "Play" : "Pause");
      follow();
    });
  }
}

/** Puts a sound into the player; plays it if the browser lets it. */
export async function put(
  samples: Float32Array,
  sampleRate: number,
  isPlaying: boolean,
): Promise<void> {
  const { audio, player, seek, playhead } = page;
  URL.revokeObjectURL(audio.src);
  file = new Blob([encodeWav(samples, sampleRate)], { type: "audio/wav" });
  audio.src = URL.createObjectURL(file);
  seek.max = String(samples.length / sampleRate);
  player.hidden = playhead.hidden = false;
  showPosition();
  // A page may only sound if it was touched; otherwise the button is there.
  if (isPlaying) await audio.play().catch(() => undefined);
}

/** Leaves nothing to be played. */
export function takeOut(): void {
  page.audio.pause();
  page.player.hidden = page.playhead.hidden = true;
}

function duration(): number {
  return Number(page.seek.max);
}

function follow(): void {
  showPosition();
  if (!page.audio.paused) requestAnimationFrame(follow);
}

function showPosition(): void {
  const { audio, seek, time, playhead } = page;
  const [at, end] = [audio.currentTime.toFixed(1), duration().toFixed(1)];
  seek.value = String(audio.currentTime);
  seek.setAttribute("aria-valuetext", `${at} of ${end} seconds`);
  time.textContent = `${at} / ${end} s`;
  playhead.style.setProperty("--at", String(Math.min(1, audio.currentTime / duration())));
}

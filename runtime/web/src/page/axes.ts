/** What stands beside a spectrogram: its frequencies and its seconds. */

import type { MelSpec } from "../echoes";
import { page } from "./elements";

const STEPS_S = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300];
const MOST_TICKS = 6;

export function showAxes(duration: number, { f_min, f_max }: MelSpec): void {
  page.high.textContent = hertz(f_max);
  page.low.textContent = hertz(f_min);
  const step = STEPS_S.find((seconds) => duration / seconds < MOST_TICKS) ?? STEPS_S.at(-1)!;
  const ticks = Array.from({ length: Math.floor(duration / step) + 1 }, (_, i) => {
    const tick = document.createElement("span");
    const seconds = Number((i * step).toFixed(1));
    tick.textContent = i === 0 ? "0 s" : String(seconds);
    tick.style.setProperty("--at", String(seconds / duration));
    return tick;
  });
  page.seconds.replaceChildren(...ticks);
}

export function hertz(frequency: number): string {
  return frequency >= 1000 ? `${(frequency / 1000).toFixed(1)} kHz` : `${frequency} Hz`;
}

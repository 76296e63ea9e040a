/** Says what is being done, beside the box that it is done for. */

import { CancelledError, messageOf, type Progress } from "../echoes";
import { page } from "./elements";
import type { Card } from "./scene";

const IS_NARROW = matchMedia("(max-width: 46rem)");

/** Moves the status to a card, and a phone's window with it. */
export function workAt(card: Card): void {
  const place = page[`${card}Card`];
  const head = place.querySelector(".card-head")!;
  if (page.work.parentElement !== head) head.append(page.work);
  if (IS_NARROW.matches) place.scrollIntoView({ block: "nearest" });
}

export function say(status: string): void {
  page.status.textContent = status;
}

export function showBusy(isBusy: boolean): void {
  page.work.classList.toggle("busy", isBusy);
  page.progress.removeAttribute("value"); // nothing is known yet
  page.step.textContent = "";
}

export function showProgress({ stage, done, total }: Progress): void {
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(0);
  // The stage is announced, how far it is only shown.
  const [text, detail] = {
    download: ["Loading the model", `${megabytes(done)} of ${megabytes(total)} MB`],
    prepare: ["Preparing the model", `${done} of ${total} graphs`],
    decode: ["Making it", `step ${done} of ${total}`],
  }[stage] as [string, string];
  if (page.status.textContent !== text) say(text);
  showShare(done, total, detail);
}

export function showShare(done: number, total: number, detail: string): void {
  page.progress.max = total;
  page.progress.value = done;
  page.step.textContent = detail;
}

/** Shows what goes wrong in `work` as one sentence, unless other work has taken its place. */
export async function attempt(
  work: () => Promise<void>,
  statusAfter: () => string | undefined,
): Promise<void> {
  page.problem.textContent = "";
  try {
    await work();
  } catch (error) {
    const isCancelled = error instanceof CancelledError;
    const status = statusAfter();
    if (status !== undefined) say(isCancelled ? "Cancelled" : status);
    if (!isCancelled) page.problem.textContent = messageOf(error);
  }
}

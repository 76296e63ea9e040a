/** How a result was made, for those who want to make it again elsewhere. */

import { described } from "../echoes";
import { page } from "./elements";
import type { Scene } from "./scene";

const COPIED_MS = 2000;

export function showFacts({ made, isLong }: Scene): void {
  const [first] = made;
  page.made.hidden = !first;
  if (!first) return;
  const timings = Object.entries(first.timingsMs).map(
    ([stage, ms]) => `${stage} ${(ms / 1000).toFixed(2)} s`,
  );
  const codes = made.map((item): [string, string] => [
    "samples" in item ? (isLong ? "Last sound codes" : "Sound codes") : "Picture codes",
    item.codes.join(" "),
  ]);
  page.facts.replaceChildren(
    ...[
      ["Model", first.bundle] as const,
      ["Seed", String(first.seed)] as const,
      ["Sampling", described(first.sampling)] as const,
      ["Ran on", first.device] as const,
      ["Took", timings.join(", ")] as const,
    ].flatMap(([name, text]) => entry(name, text)),
    ...codes.flatMap(([name, text]) => {
      const [term, description] = entry(name, text);
      // Insecure pages have no clipboard.
      if (isSecureContext) term.append(copyButton(name, text));
      return [term, description];
    }),
  );
}

function entry(name: string, text: string): [term: HTMLElement, description: HTMLElement] {
  const [term, description] = [document.createElement("dt"), document.createElement("dd")];
  term.textContent = name;
  description.textContent = text;
  description.dataset["fact"] = name;
  return [term, description];
}

function copyButton(name: string, text: string): HTMLButtonElement {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  const label = `Copy ${name.toLowerCase()}`;
  button.setAttribute("aria-label", label);
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    const isCopied = await navigator.clipboard.writeText(text).then(
      () => true,
      () => false, // a browser may forbid it
    );
    button.textContent = isCopied ? "Copied" : "Not allowed";
    button.setAttribute("aria-label", `${label}: ${button.textContent.toLowerCase()}`);
    setTimeout(() => {
      button.textContent = "Copy";
      button.setAttribute("aria-label", label);
    }, COPIED_MS);
  });
  return button;
}

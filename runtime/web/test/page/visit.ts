/** A visit to the page, and what a visitor does on it. */

import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

import type { Browser, BrowserContextOptions, Page } from "playwright-core";

export const SCREENSHOTS = fileURLToPath(new URL("../../screenshots", import.meta.url));
const DESKTOP = { width: 1280, height: 860 };
export const PHONE = { width: 390, height: 844 };
export const WAIT = { timeout: 200_000 };

/** What Chromium says where it has no graphics card, when it is asked for one. */
const NO_CARD = "No available adapters.";

export interface Served {
  readonly browser: Browser;
  readonly url: string;
}

export interface Visit {
  readonly page: Page;
  /** What the console complained of. */
  readonly trouble: string[];
  /** Whom the page asked for something. */
  readonly hosts: Set<string>;
}

/** Opens the page in a browser that has not seen it, and waits until the model is loaded. */
export async function visit(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
): Promise<Visit> {
  mkdirSync(SCREENSHOTS, { recursive: true });
  const context = await browser.newContext({ viewport: DESKTOP, acceptDownloads: true, ...options });
  const page = await context.newPage();
  const [trouble, hosts] = [[] as string[], new Set<string>()];
  page.setDefaultTimeout(WAIT.timeout);
  page.on("console", (message) => {
    const isTrouble = ["error", "warning"].includes(message.type());
    if (isTrouble && message.text() !== NO_CARD) trouble.push(message.text());
  });
  page.on("pageerror", (error) => trouble.push(error.message));
  page.on("request", (request) => hosts.add(new URL(request.url()).host));
  // Choosers are caught from when somebody first listens, which a key press does not wait for.
  page.on("filechooser", () => undefined);
  await page.goto(url);
  await page.getByText("Ready", { exact: true }).waitFor(WAIT);
  return { page, trouble, hosts };
}

/** What is made next, by its codes; `act` starts it. */
export async function codesAfter(
  page: Page,
  act: () => Promise<unknown>,
): Promise<Record<string, number[]>> {
  await page.locator("#status").evaluate((status) => (status.textContent = ""));
  await act();
  await page.getByText(/^Made in /).waitFor(WAIT);
  const facts = await page.locator("#facts dd").evaluateAll((items) =>
    items.map((item) => [(item as HTMLElement).dataset["fact"]!, item.textContent!]),
  );
  return Object.fromEntries(
    facts
      .filter(([name]) => name!.endsWith("codes"))
      .map(([name, text]) => [name!, text!.split(" ").map(Number)]),
  );
}

/** The buttons that a thumb would miss. */
export function smallButtons(page: Page): Promise<string[]> {
  return page.locator("button:visible").evaluateAll((buttons) =>
    buttons.filter((b) => b.getBoundingClientRect().height < 44).map((b) => b.id),
  );
}

export function scrolledWidth(page: Page): Promise<number> {
  return page.evaluate(() => document.documentElement.scrollWidth);
}

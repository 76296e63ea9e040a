import type { ChildProcess } from "node:child_process";
import { availableParallelism, loadavg } from "node:os";

import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from "vitest";

import { readJson } from "../fixtures";
import { startBrowser, startDemo } from "./demo";
import { describeFailures } from "./failures";
import { describeHands } from "./hands";
import { describeScreens } from "./screens";
import { codesAfter as codesOn, SCREENSHOTS, visit, WAIT } from "./visit";

const media = inject("media");
const expected = readJson(`${media}/expected.json`);

let server: ChildProcess;
let url: string;
let browser: Browser;
let page: Page;
let trouble: string[];
let hosts: Set<string>;

beforeAll(async () => {
  ({ url, process: server } = await startDemo());
  browser = await startBrowser();
  const options = { permissions: ["clipboard-read", "clipboard-write"] };
  ({ page, trouble, hosts } = await visit(browser, url, options));
});

afterAll(async () => {
  await browser?.close();
  server?.kill();
});

beforeEach(() => {
  expect(trouble).toEqual([]);
});

const codesAfter = (act: () => Promise<unknown>) => codesOn(page, act);

/**
 * The last bits of logits differ between builds of ONNX Runtime, and with them a code that lies on a
 * border: at most one in twenty. The tiny bundle's codes must be equal (test/decode.test.ts).
 */
function expectAlike(codes: readonly number[] | undefined, wanted: readonly number[]): void {
  expect(codes).toHaveLength(wanted.length);
  const others = wanted.filter((code, i) => codes![i] !== code).length;
  expect(others).toBeLessThanOrEqual(wanted.length / 20);
}

describe("the page", () => {
  it("says what it runs on", async () => {
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
    const about = await page.locator("#about").textContent();
    expect(about).toMatch(/on WebAssembly, \d threads?: .+\. Nothing leaves this machine\./);
    await page.getByText("Works without a network.").waitFor(WAIT);
  });

  it("says what it knows, and which pictures taught it", async () => {
    const { labels } = await (await fetch(new URL("bundle/manifest.json", url))).json();
    const [label, taught] = Object.entries<string[]>(labels).find(([name, [first]]) => first !== name)!;
    const words = [label, taught.join(", ")].join(" ").replaceAll("_", " ");
    expect(await page.locator("#labels li").allTextContents()).toContain(words);
  });

  it("makes the sound of a picture, in codes of the Python runtime", async () => {
    for (const [i, seed] of expected.seeds.entries()) {
      await page.getByLabel("Seed").fill(String(seed));
      const choose = () => page.locator("#picture-file").setInputFiles(`${media}/picture.png`);
      const codes = await codesAfter(choose);
      expectAlike(codes["Sound codes"], expected.imageToAudio[i]);
    }
    await page.screenshot({ path: `${SCREENSHOTS}/desktop.png`, fullPage: true });
  });

  it("does so in less than five seconds", async () => {
    await codesAfter(() => page.getByRole("button", { name: "Another one" }).click());
    const seconds = Number((await page.locator("#status").textContent())!.match(/[\d.]+/)![0]);
    const isBusy = loadavg()[0]! > availableParallelism();
    console.info(`made in ${seconds} s${isBusy ? "; not judged: this machine is busy" : ""}`);
    if (!isBusy) expect(seconds).toBeLessThan(5);
  });

  it("plays it", async () => {
    const audio = page.locator("#audio");
    await expect.poll(() => audio.evaluate((a: HTMLAudioElement) => a.played.length), WAIT).toBe(1);
    await audio.evaluate((a: HTMLAudioElement) => a.pause());
    await page.getByRole("button", { name: "Play" }).waitFor(WAIT);
    const position = page.getByRole("slider", { name: "Position" });
    await position.press("End");
    const end = Number(await position.getAttribute("max"));
    const at = await audio.evaluate((a: HTMLAudioElement) => a.currentTime);
    expect(Math.abs(at - end)).toBeLessThan(0.02);
  });

  it("makes the picture of that sound", async () => {
    const codes = await codesAfter(() => page.getByRole("button", { name: "See its picture" }).click());
    expect(codes["Picture codes"]).toHaveLength(expected.audioToImage[0].length);
  });

  it("makes the picture of a sound file, in codes of the Python runtime", async () => {
    for (const [i, seed] of expected.seeds.entries()) {
      await page.getByLabel("Seed").fill(String(seed));
      const choose = () => page.locator("#sound-file").setInputFiles(`${media}/sound.wav`);
      const codes = await codesAfter(choose);
      expectAlike(codes["Picture codes"], expected.audioToImage[i]);
    }
  });

  it("makes both from nothing, in codes of the Python runtime", async () => {
    await page.getByLabel("Seed").fill("1");
    const codes = await codesAfter(() => page.getByRole("button", { name: "Invent both" }).click());
    expectAlike(codes["Sound codes"], expected.cogenerate[0][0]);
    expectAlike(codes["Picture codes"], expected.cogenerate[0][1]);
  });

  it("refuses a seed that is too large in one sentence", async () => {
    await page.getByLabel("Seed").fill("99999999999999999999");
    await page.getByLabel("Seed").press("Enter");
    const sentence = /seed must be in \[0, 18446744073709551615\]/;
    await page.getByRole("alert").filter({ hasText: sentence }).waitFor(WAIT);
    await page.getByLabel("Seed").fill("1");
  });

  it("refuses a file that is no picture in one sentence", async () => {
    const buffer = Buffer.from("no picture");
    await page
      .locator("#picture-file")
      .setInputFiles({ name: "a.png", mimeType: "image/png", buffer });
    const sentence = "a.png is not a picture that this browser can read";
    await page.getByRole("alert").filter({ hasText: sentence }).waitFor(WAIT);
  });

  it("names every control", async () => {
    const controls = page.locator("button, input, select, summary, progress, [role=img]");
    const nameless = await controls.evaluateAll((items) =>
      items
        .filter((item) => {
          const labels = (item as HTMLInputElement).labels;
          return !item.getAttribute("aria-label") && !labels?.length && !item.textContent?.trim();
        })
        .map((item) => item.id),
    );
    expect(nameless).toEqual([]);
  });

  it("speaks up for what it does and what fails alone", async () => {
    const live = page.locator("output, [aria-live], [role=status], [role=alert], [role=log]");
    const ids = await live.evaluateAll((items) => items.map(({ id }) => id));
    expect(ids.toSorted()).toEqual(["problem", "status", "unknown"]);
  });

  it("refuses a setting that is no number in one sentence", async () => {
    await page.locator("#settings summary").click();
    const field = page.getByLabel("Temperature");
    await field.pressSequentially("1e");
    await page.getByRole("button", { name: "Make again" }).click();
    const sentence = "the temperature must be a number";
    await page.getByRole("alert").filter({ hasText: sentence }).waitFor(WAIT);
    await field.fill("");
    await page.locator("#settings summary").click();
  });
});

describe("the page", () => describeFailures(() => ({ browser, url })));

describe("the page", () => describeScreens(() => ({ browser, url })));

describe("by hand, the page", () => describeHands(() => ({ browser, url, page })));

describe("the page, after all that,", () => {
  it("asks nobody else for anything", () => {
    expect([...hosts].filter((host) => host && host !== new URL(url).host)).toEqual([]);
  });

  it("works without its server once it was loaded", async () => {
    await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
    server.kill();
    await new Promise((resolve) => server.once("exit", resolve));
    trouble.length = 0;
    await page.reload();
    await page.getByText("Ready", { exact: true }).waitFor(WAIT);
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
    await page.locator("#settings summary").click();
    await page.getByLabel("Steps").fill("1");
    await codesAfter(() => page.getByRole("button", { name: "Invent both" }).click());
    trouble.length = 0; // the manifest was asked for in vain, and the browser says so
  });
});

/** What hands do on the page: files, the keyboard, long sound, a phone. */

import { readFileSync } from "node:fs";

import type { Page } from "playwright-core";
import { beforeAll, describe, expect, inject, it } from "vitest";

import { readJson } from "../fixtures";
import { describeResults } from "./results";
import {
  codesAfter,
  PHONE,
  SCREENSHOTS,
  scrolledWidth,
  smallButtons,
  visit,
  WAIT,
  type Served,
} from "./visit";

const media = inject("media");
const { oneStep, long_s: longS } = readJson(`${media}/expected.json`);

type Opened = Served & { readonly page: Page };

let page: Page;

/** Tests that reload a page that is open; they leave it with other settings. */
export function describeHands(of: () => Opened): void {
  beforeAll(async () => {
    ({ page } = of());
    await page.reload();
    await page.getByText("Ready", { exact: true }).waitFor(WAIT);
  });
  describe("the keyboard", describeKeyboard);
  describe("files", describeFiles);
  describeResults(() => page);
  describe("a long sound", describeLongSound);
  describe("a phone", () => describePhone(of));
}

function describeFiles(): void {
  const lit = () => page.locator(".frame.over").count();

  /** Moves a file from outside of the browser over the page, and lets go of it. */
  async function drop(path: string, target: string): Promise<void> {
    await page.locator(target).scrollIntoViewIfNeeded();
    const { x, y } = (await page.locator(target).boundingBox())!;
    const devtools = await page.context().newCDPSession(page);
    const data = { items: [], files: [path], dragOperationsMask: 1 };
    const send = (type: "dragEnter" | "dragOver" | "drop") =>
      devtools.send("Input.dispatchDragEvent", { type, x: x + 9, y: y + 9, data });
    let isOver = true;
    // A busy browser loses a drop at times.
    for (let tries = 0; isOver && tries < 3; tries++) {
      await send("dragEnter");
      await send("dragOver");
      await expect.poll(lit, WAIT).toBe(2);
      await send("drop");
      isOver = await expect.poll(lit, { timeout: 20_000 }).toBe(0).then(() => false, () => true);
    }
    expect(isOver).toBe(false);
    await devtools.detach();
  }

  it("may be dropped: a picture", async () => {
    const act = () => drop(`${media}/picture.png`, "#picture-frame");
    expect((await codesAfter(page, act))["Sound codes"]).toEqual(oneStep.imageToAudio);
  });

  it("may be dropped: a sound, even on the picture's card", async () => {
    const act = () => drop(`${media}/sound.wav`, "#picture-frame");
    expect((await codesAfter(page, act))["Picture codes"]).toEqual(oneStep.audioToImage);
  });

  it("may be dropped, and are refused in one sentence", async () => {
    await drop(`${media}/expected.json`, "#sound-frame");
    const sentence = "expected.json is neither a picture nor a sound";
    await page.getByRole("alert").filter({ hasText: sentence }).waitFor(WAIT);
  });

  it("may be pasted: a picture", async () => {
    const data = readFileSync(`${media}/picture.png`).toString("base64");
    await page.evaluate(async (data) => {
      const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
      const blob = new Blob([bytes], { type: "image/png" });
      await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
    }, data);
    const codes = await codesAfter(page, () => page.keyboard.press("Control+v"));
    expect(codes["Sound codes"]).toEqual(oneStep.imageToAudio);
  });

  it("may be pasted: a sound", async () => {
    const data = readFileSync(`${media}/sound.wav`).toString("base64");
    // A browser's clipboard holds no sounds; a file manager's does.
    const paste = () =>
      page.evaluate((data) => {
        const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
        const clipboardData = new DataTransfer();
        clipboardData.items.add(new File([bytes], "sound.wav", { type: "audio/wav" }));
        document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
      }, data);
    expect((await codesAfter(page, paste))["Picture codes"]).toEqual(oneStep.audioToImage);
  });
}

function describeKeyboard(): void {
  const focused = () =>
    page.evaluate(() => {
      const { activeElement } = document;
      return activeElement?.id || activeElement?.parentElement?.id || "";
    });

  /** Goes on by the tabulator to a control, or to the summary of what is folded. */
  async function tabTo(id: string): Promise<void> {
    for (let presses = 0; presses < 60; presses++) {
      await page.keyboard.press("Tab");
      if ((await focused()) === id) return;
    }
    throw new Error(`the tabulator does not reach ${id}`);
  }

  async function chooseBy(id: string, file: string): Promise<Record<string, number[]>> {
    await tabTo(id);
    return codesAfter(page, async () => {
      const chooser = page.waitForEvent("filechooser", { timeout: 20_000 });
      await page.keyboard.press("Enter");
      await (await chooser).setFiles(file);
    });
  }

  async function savedBy(id: string): Promise<string> {
    await tabTo(id);
    const saving = page.waitForEvent("download");
    await page.keyboard.press("Enter");
    return (await saving).suggestedFilename();
  }

  it("changes a setting, and takes the sample", async () => {
    const first: string[] = [];
    while (first.length < 2) {
      await page.keyboard.press("Tab");
      first.push(await focused());
    }
    expect(first).toEqual(["choose-picture", "samples"]);
    await tabTo("settings");
    await page.keyboard.press("Enter");
    await tabTo("steps");
    await page.keyboard.type("1"); // what is made counts here, not how good it is
    await tabTo("samples");
    const codes = await codesAfter(page, () => page.keyboard.press("Enter"));
    expect(codes["Sound codes"]).toHaveLength(oneStep.imageToAudio.length);
    expect(await focused()).toBe("samples");
  });

  it("chooses a picture", async () => {
    const codes = await chooseBy("choose-picture", `${media}/picture.png`);
    expect(codes["Sound codes"]).toEqual(oneStep.imageToAudio);
    expect(await focused()).toBe("choose-picture");
  });

  it("seeks and plays", async () => {
    const at = () => page.locator("#audio").evaluate((audio: HTMLAudioElement) => audio.currentTime);
    const paused = () => page.locator("#audio").evaluate((audio: HTMLAudioElement) => audio.paused);
    await tabTo("play");
    if (!(await paused())) await page.keyboard.press("Space");
    await expect.poll(paused, WAIT).toBe(true);
    await tabTo("seek");
    await page.keyboard.press("Home");
    expect(await at()).toBe(0);
    for (let presses = 0; presses < 3; presses++) await page.keyboard.press("ArrowRight");
    expect(await at()).toBeCloseTo(0.03);
    await page.keyboard.press("Shift+Tab");
    expect(await focused()).toBe("play");
    await page.keyboard.press("Space");
    await expect.poll(at, WAIT).toBeGreaterThan(0.03);
    await page.keyboard.press("Space");
    await expect.poll(paused, WAIT).toBe(true);
  });

  it("saves a sound", async () => {
    expect(await savedBy("save-sound")).toBe("echo-1.wav");
  });

  it("chooses a sound, and saves its picture", async () => {
    const codes = await chooseBy("choose-sound", `${media}/sound.wav`);
    expect(codes["Picture codes"]).toEqual(oneStep.audioToImage);
    expect(await savedBy("save-picture")).toBe("echo-1.png");
  });

  it("changes other settings, and makes it again", async () => {
    await tabTo("settings");
    const visited = [];
    for (let presses = 0; presses < 4; presses++) {
      await page.keyboard.press("Tab");
      visited.push(await focused());
    }
    // Guidance is folded into the model, so that its scale cannot be chosen.
    expect(visited).toEqual(["steps", "temperature", "length", "device"]);
    for (const _ of "12") await page.keyboard.press("Shift+Tab");
    await page.keyboard.type("1.5");
    await tabTo("made");
    await page.keyboard.press("Enter");
    await tabTo("seed");
    await codesAfter(page, () => page.keyboard.press("Enter"));
    const sampling = await page.locator("dd[data-fact=Sampling]").innerText();
    expect(sampling).toBe("1 step; guidance folded in; temperature 1.5");
    await page.getByLabel("Temperature").fill("");
  });
}

function describeLongSound(): void {
  it("has the codes of the Python runtime at its end, and the length that was asked for", async () => {
    await page.getByLabel("Seconds of sound").fill(String(longS));
    const choose = () => page.locator("#picture-file").setInputFiles(`${media}/picture.png`);
    const codes = await codesAfter(page, choose);
    expect(codes["Last sound codes"]).toEqual(oneStep.stream);
    expect(Number(await page.locator("#seek").getAttribute("max"))).toBeCloseTo(longS, 3);
    const label = await page.locator("#spectrogram").getAttribute("aria-label");
    expect(label).toContain(`${longS.toFixed(1)} seconds`);
    await page.screenshot({ path: `${SCREENSHOTS}/long.png`, fullPage: true });
  });

  it("shows how far it is, and can be cancelled", async () => {
    await page.getByLabel("Seconds of sound").fill("600");
    await page.getByRole("button", { name: "Make again" }).click();
    await page.getByText(/^[1-9][\d.]* of 600 s, step \d of \d$/).waitFor(WAIT);
    await page.screenshot({ path: `${SCREENSHOTS}/growing.png`, fullPage: true });
    const label = await page.locator("#spectrogram").getAttribute("aria-label");
    expect(label).toMatch(/^Spectrogram of the sound as far as it is made: [\d.]+ seconds/);
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByText("Cancelled", { exact: true }).waitFor(WAIT);
    // What was there before is there again.
    const before = await page.locator("#spectrogram").getAttribute("aria-label");
    expect(before).toContain(`the generated sound: ${longS.toFixed(1)} seconds`);
    expect(await page.locator("#play").isVisible()).toBe(true);
  });

  it("gives way to another wish, of which the card shows what was given", async () => {
    await page.getByLabel("Seconds of sound").fill("600");
    await page.getByRole("button", { name: "Make again" }).click();
    await page.getByText(/^[1-9][\d.]* of 600 s, step \d of \d$/).waitFor(WAIT);
    const choose = () => page.locator("#sound-file").setInputFiles(`${media}/sound.wav`);
    expect((await codesAfter(page, choose))["Picture codes"]).toEqual(oneStep.audioToImage);
    expect(await page.locator("#spectrogram").isVisible()).toBe(true);
    const label = await page.locator("#spectrogram").getAttribute("aria-label");
    expect(label).toMatch(/^Spectrogram of your sound/);
    await page.locator("#picture-file").setInputFiles(`${media}/picture.png`);
    await page.getByText(/^[1-9][\d.]* of 600 s, step \d of \d$/).waitFor(WAIT);
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByText("Cancelled", { exact: true }).waitFor(WAIT);
  });

  it.each(["0", "601"])("of %s seconds is refused in one sentence", async (seconds) => {
    await page.getByLabel("Seconds of sound").fill(seconds);
    await page.getByRole("button", { name: "Make again" }).click();
    const sentence = `the length must be in (0, 600] seconds, got ${seconds}`;
    await page.getByRole("alert").filter({ hasText: sentence }).waitFor(WAIT);
  });
}

function describePhone(of: () => Opened): void {
  it("makes a sound on its first visit, and shows it whole", async () => {
    const { browser, url } = of();
    const phone = await visit(browser, url, { viewport: PHONE, isMobile: true, hasTouch: true });
    const sample = phone.page.locator("#samples button").first();
    const codes = await codesAfter(phone.page, () => sample.tap());
    expect(codes["Sound codes"]).toHaveLength(oneStep.imageToAudio.length);
    for (const folded of ["#settings", "#made", "#knows"]) await phone.page.locator(`${folded} summary`).tap();
    expect(await scrolledWidth(phone.page)).toBeLessThanOrEqual(PHONE.width);
    expect(await smallButtons(phone.page)).toEqual([]);
    await phone.page.screenshot({ path: `${SCREENSHOTS}/phone-made.png`, fullPage: true });
    expect(phone.trouble).toEqual([]);
    await phone.page.context().close();
  });
}

// The demo page with a camera that films a known picture, end to end, and how it looks then.
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch } from "./browser.mjs";
import { camera, clip } from "./clip.mjs";
import { serve } from "./server.mjs";

const shots = join(process.env.WEB_MADE, "shots");
let server, browser, scratch;

before(async () => {
  server = await serve({ "/page/pkg/": process.env.WEB_PKG, "/page/": "examples/web", "/assets/": "assets" });
  scratch = await mkdtemp(join(tmpdir(), "foveate-web-"));
  await mkdir(shots, { recursive: true });
  const file = join(scratch, "clip.y4m");
  const plain = await launch();
  await clip(plain, server.origin, { path: "/assets/horse.png", width: 400, height: 328, file });
  await plain.close();
  browser = await launch({ args: camera(file) });
});

after(async () => {
  await browser?.close();
  server?.close();
  if (scratch) await rm(scratch, { recursive: true });
});

const looks = [
  { look: "light", viewport: { width: 1200, height: 900 }, colorScheme: "light" },
  { look: "dark", viewport: { width: 1200, height: 900 }, colorScheme: "dark" },
  { look: "phone", viewport: { width: 390, height: 844 }, colorScheme: "dark", deviceScaleFactor: 2, isMobile: true, hasTouch: true },
];
for (const { look, ...options } of looks) {
  test(`a camera that films a horse, on WebGPU: the page says horse (${look})`, async () => {
    const context = await browser.newContext({ ...options, permissions: ["camera"] });
    const page = await context.newPage();
    try {
      await page.goto(`${server.origin}/page/index.html`);
      await page.selectOption("#device", "webgpu");
      await page.waitForFunction(() => document.querySelector("#facts").dataset.device === "webgpu", undefined, { timeout: 60_000 });
      await page.click("#use-camera");
      await page.waitForSelector("#use-camera[aria-pressed=true]");
      // Answers of the clip that was shown before may still be under way.
      await page.waitForFunction(() => /^[1-9]\d* frames/.test(document.querySelector("#rate").textContent), undefined, { timeout: 60_000 });
      await page.waitForFunction(() => document.querySelector("#bars li:not([hidden]) .label")?.textContent === "horse", undefined, { timeout: 60_000 });
      await page.waitForTimeout(1500);
      assert.equal(await page.textContent("#bars li:not([hidden]) .label"), "horse");
      // To be looked at.
      await page.screenshot({ path: join(shots, `${look}.png`), fullPage: true });
    } finally {
      await context.close();
    }
  });
}

// The demo page, as its users meet it.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { launch } from "./browser.mjs";
import { serve } from "./server.mjs";

const CAMERA = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream=device-count=2"];
const CLIP = ["cat", "ship", "horse", "frog", "airplane", "dog", "automobile", "deer", "truck", "bird"];
const pkg = "/page/pkg/";
let server, gpu, plain;

before(async () => {
  // The page finds the package beside it, wherever that was built.
  server = await serve({ [pkg]: process.env.WEB_PKG, "/page/": "examples/web", "/assets/": "assets" });
  [gpu, plain] = await Promise.all([launch({ args: CAMERA }), launch({ webgpu: false, args: ["--host-resolver-rules=MAP insecure.test 127.0.0.1"] })]);
});

after(async () => {
  await Promise.all([gpu?.close(), plain?.close()]);
  server?.close();
});

/** The page, opened; `work` is given it. Nothing may be said on its console, nothing asked of other servers. */
async function visit(browser, work, { origin = server.origin, expected = [], ...options } = {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const said = [], elsewhere = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error)));
  context.on("request", (request) => {
    if (!request.url().startsWith(origin) && /^(http|ws)/.test(request.url())) elsewhere.push(request.url());
  });
  try {
    await page.goto(`${origin}/page/index.html`);
    await work(page, context);
    assert.deepEqual(said.filter((text) => !expected.some((one) => one.test(text))), []);
    assert.deepEqual(elsewhere, []);
  } finally {
    await context.close();
  }
}

const best = (page) => page.textContent("#bars li:not([hidden]) .label", { timeout: 60_000 });
const answered = (page) => page.waitForFunction(() => document.querySelector("#bars li:not([hidden]) .label")?.textContent, undefined, { timeout: 60_000 });
const computes = (page, kind) => page.waitForFunction((kind) => document.querySelector("#facts").dataset.device === kind, kind, { timeout: 60_000 });
const problem = async (page) => {
  await page.waitForSelector("#problem:not([hidden])");
  return { code: await page.getAttribute("#problem", "data-code"), what: await page.textContent("#problem-what"), hint: await page.textContent("#problem-hint") };
};

test("the clip is classified on the CPU, which the page says, and its pictures are known", async () => {
  await visit(plain, async (page) => {
    await answered(page);
    assert.match(await page.textContent("#facts"), /CPU, in WebAssembly/);
    assert.match(await page.textContent("#stage-note"), /^CPU: /);
    // Every picture of the clip by itself, as the page would show it.
    const right = await page.evaluate(async (names) => {
      const { Session } = await import("./pkg/index.js");
      const session = await Session.load(undefined, { device: "cpu" });
      const found = [];
      for (const name of names) {
        const file = await fetch(`clip/${name}.${name === "cat" ? "jpg" : "png"}`);
        found.push([name, (await session.classify(await file.blob(), { top: 1 }))[0].label]);
      }
      session.free();
      return found;
    }, CLIP);
    assert.equal(right.length, 10);
    for (const [name, label] of right) assert.equal(label, name);
    assert.equal(await page.textContent("#spoken") !== "", true);
    assert.match(await page.textContent("#rate"), /^\d+ frames, \d/);
    await page.click("#pause");
    // A frame that was under way may still come.
    await page.waitForTimeout(400);
    const before = await page.textContent("#rate");
    await page.waitForTimeout(300);
    assert.equal(await page.textContent("#rate"), before);
    await page.click("#pause");
    await page.waitForFunction((before) => document.querySelector("#rate").textContent !== before, before);
  });
});

test("a fake camera on WebGPU: frames, times by three clocks, choice, and no track left", async () => {
  await visit(gpu, async (page) => {
    await page.evaluate(() => {
      globalThis.tracks = [];
      const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      navigator.mediaDevices.getUserMedia = async (wanted) => {
        const stream = await ask(wanted);
        tracks.push(...stream.getTracks());
        return stream;
      };
    });
    await page.selectOption("#device", "webgpu");
    await computes(page, "webgpu");
    await page.click("#use-camera");
    await page.waitForSelector("#use-camera[aria-pressed=true]");
    await answered(page);
    await page.waitForFunction(() => [...document.querySelectorAll("#times tbody tr")].slice(1).every((row) => row.cells[2].textContent !== "–"));
    assert.ok(await page.isVisible("#cameras"));
    const choices = await page.locator("#cameras option").evaluateAll((options) => options.map(({ value }) => value));
    assert.equal(choices.length, 2);
    const first = await page.inputValue("#cameras");
    assert.equal(first, await page.evaluate(() => tracks[0].getSettings().deviceId));
    const second = choices.find((choice) => choice !== first);
    await page.selectOption("#cameras", second);
    await page.waitForFunction((second) => globalThis.tracks[1]?.getSettings().deviceId === second, second);
    await answered(page);
    assert.equal(await page.inputValue("#cameras"), second);
    assert.deepEqual(await page.evaluate(() => tracks.map((track) => track.readyState)), ["ended", "live"]);
    // One that does not open leaves the clip, and says why.
    await page.evaluate(() => {
      navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("no", "NotReadableError"));
    });
    await page.selectOption("#cameras", first);
    assert.match((await problem(page)).what, /in use/);
    await page.waitForSelector("#use-clip[aria-pressed=true]");
    assert.deepEqual(await page.evaluate(() => tracks.map((track) => track.readyState)), ["ended", "ended"]);
    assert.ok(await page.isHidden("#camera-choice"));
  }, { permissions: ["camera"] });
});

test("no camera, or one that is not allowed, is said with what to do, and the clip goes on", async () => {
  for (const [name, what] of [["NotAllowedError", /not allowed/], ["NotFoundError", /No camera/], ["NotReadableError", /in use/]]) {
    await visit(plain, async (page) => {
      await answered(page);
      await page.evaluate((name) => {
        navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("no", name));
      }, name);
      await page.click("#use-camera");
      const shown = await problem(page);
      assert.match(shown.what, what);
      assert.ok(shown.hint.length > 20, shown.hint);
      assert.equal(await page.getAttribute("#use-clip", "aria-pressed"), "true");
      await page.click("#problem-close");
      assert.ok(await page.isHidden("#problem"));
    });
  }
});

test("pictures are chosen, dropped and pasted; what is none is refused", async () => {
  await visit(plain, async (page) => {
    await answered(page);
    await page.setInputFiles("#picture-file", "assets/horse.png");
    await page.waitForSelector("#use-picture[aria-pressed=true]");
    await answered(page);
    assert.equal(await best(page), "horse");
    const give = (type, path) =>
      page.evaluate(async ([type, path]) => {
        const bytes = await (await fetch(path)).blob();
        const data = new DataTransfer();
        data.items.add(new File([bytes], path.split("/").at(-1), { type: bytes.type }));
        const init = { bubbles: true, cancelable: true };
        const event = type === "paste" ? new ClipboardEvent("paste", { ...init, clipboardData: data }) : new DragEvent("drop", { ...init, dataTransfer: data });
        document.body.dispatchEvent(event);
      }, [type, path]);
    const becomes = (label) => page.waitForFunction((label) => document.querySelector("#bars li:not([hidden]) .label")?.textContent === label, label);
    await give("drop", "clip/ship.png");
    await becomes("ship");
    await give("paste", "/assets/cat.png");
    await becomes("cat");
    await give("drop", "page.css");
    assert.match((await problem(page)).what, /page\.css.* no picture/);
    assert.equal(await best(page), "cat");
  });
});

test("models and precisions are switched; a bad file is refused with its hint, and the page goes on", async () => {
  await visit(plain, async (page) => {
    await answered(page);
    await page.waitForSelector('#model option[value="mobileone-s0"]', { state: "attached" });
    await page.setInputFiles("#model-file", { name: "broken.safetensors", mimeType: "application/octet-stream", buffer: Buffer.from("no checkpoint at all") });
    const shown = await problem(page);
    assert.equal(shown.code, "bad-file");
    assert.ok(shown.hint.length > 20, shown.hint);
    await answered(page);
    assert.equal(await page.inputValue("#model"), "builtin");
    await page.selectOption("#precision", "w8");
    await page.waitForFunction(() => document.querySelector("#facts").textContent.includes("qarepvgg-cifar, w8"));
    assert.ok(await page.isHidden("#problem"));
    await page.setInputFiles("#model-file", "assets/cifar10-qarepvgg.safetensors");
    await page.waitForFunction(() => document.querySelector("#facts").textContent.includes("qarepvgg-cifar, f32"));
    assert.equal(await page.inputValue("#model"), "file");
    await answered(page);
    await page.selectOption("#precision", "w8a8");
    const refused = await problem(page);
    assert.ok(refused.code && refused.hint.length > 20, JSON.stringify(refused));
    await page.selectOption("#model", "repnext-m0");
    await page.waitForFunction(() => document.querySelector("#facts").textContent.includes("repnext-m0, f32"));
    assert.match(await page.textContent("#meaning"), /random/);
    await answered(page);
    // One worker is left of all those sessions.
    assert.equal(page.workers().length, 1);
  });
});

for (const [where, on] of [["cpu", () => plain], ["webgpu", () => gpu]]) {
  test(`the benchmark on ${where} downloads a record of the schema`, async () => {
    await visit(on(), async (page) => {
      await answered(page);
      if (where === "webgpu") {
        await page.selectOption("#device", "webgpu");
        await computes(page, "webgpu");
      }
      const [file] = await Promise.all([page.waitForEvent("download", { timeout: 120_000 }), page.click("#benchmark")]);
      assert.match(file.suggestedFilename(), /^foveate-benchmark-[-\d]+\.json$/);
      const record = JSON.parse(await readFile(await file.path(), "utf8"));
      const { kind, schema_version, complete, machine, protocol, results: [result, ...more] } = record;
      assert.deepEqual({ kind, schema_version, complete, more }, { kind: "foveate-benchmark", schema_version: 2, complete: true, more: [] });
      assert.match(machine.browser, /Mozilla/);
      assert.equal(machine.arch, "wasm32");
      assert.ok(machine.threads >= 1 && machine.os && Number.isInteger(record.started));
      assert.deepEqual([protocol.mode, protocol.frame], ["latency", [640, 480]]);
      assert.deepEqual([result.model, result.precision, result.batch, result.error], ["qarepvgg-cifar", "f32", 1, null]);
      assert.equal(result.device.kind, where === "webgpu" ? "gpu" : "cpu");
      assert.equal(result.device.backend, where === "webgpu" ? "webgpu" : "none");
      assert.equal(result.device.software, where === "webgpu");
      assert.match(result.weights, /cifar10-qarepvgg\.safetensors, SHA-256 [0-9a-f]{64}/);
      assert.ok(result.macs > 1e6 && result.first_ms > 0);
      const { submit_to_readback: wall, end_to_end: all } = result.clocks;
      assert.ok(wall.us.length >= protocol.runs && all.us.length === wall.us.length);
      assert.ok(all.us.every((us, at) => us >= wall.us[at] && wall.us[at] > 0));
      const sorted = [...all.us].sort((a, b) => a - b);
      assert.deepEqual([all.summary.n, all.summary.min, all.summary.max], [sorted.length, sorted[0], sorted.at(-1)]);
      assert.ok(all.summary.p50 <= all.summary.p90 && all.summary.p90 <= all.summary.p99);
      if (where === "cpu") assert.equal(result.clocks.gpu, null);
      // What reads it is the native program, where that is at hand.
      if (process.env.WEB_FOVEATE) await promisify(execFile)(process.env.WEB_FOVEATE, ["report", await file.path(), "-o", `${await file.path()}.html`]);
      // And it goes on.
      await answered(page);
    }, { acceptDownloads: true });
  });
}

test("an insecure page works on the CPU, and says why there is no WebGPU and no camera", async () => {
  await visit(plain, async (page) => {
    await answered(page);
    assert.equal(await page.evaluate(() => isSecureContext), false);
    assert.match(await page.textContent("#stage-note"), /insecure/);
    assert.match(await page.textContent("#facts"), /https:/);
    await page.click("#use-camera");
    assert.equal((await problem(page)).code, "insecure-context");
  }, { origin: server.origin.replace("127.0.0.1", "insecure.test") });
});

test("a hidden page computes nothing", async () => {
  await visit(plain, async (page) => {
    await answered(page);
    const count = async () => Number((await page.textContent("#rate")).split(" ")[0]);
    const hide = (hidden) => page.evaluate((hidden) => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
    await hide(true);
    await page.waitForTimeout(500);
    const before = await count();
    await page.waitForTimeout(500);
    assert.equal(await count(), before);
    await hide(false);
    await page.waitForFunction((before) => Number(document.querySelector("#rate").textContent.split(" ")[0]) > before, before);
  });
});

test("it works offline once it was loaded", async () => {
  await visit(plain, async (page, context) => {
    await answered(page);
    await page.waitForFunction(() => navigator.serviceWorker.controller);
    await page.waitForFunction(async () => (await caches.keys()).some((name) => name.startsWith("foveate-models")));
    await context.setOffline(true);
    await page.reload();
    await answered(page);
    await page.selectOption("#precision", "w8");
    await page.waitForFunction(() => document.querySelector("#facts").textContent.includes("w8"));
  }, { expected: [/ERR_INTERNET_DISCONNECTED/] });
});

for (const [width, colorScheme] of [[390, "light"], [390, "dark"], [320, "light"], [1200, "light"]]) {
  test(`nothing is wider than the page at ${width} pixels, ${colorScheme}; controls have names and can be reached`, async () => {
    await visit(plain, async (page) => {
      await answered(page);
      await page.evaluate(() => (document.querySelector("#problem").hidden = false));
      const wide = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(wide[0] <= wide[1], wide.join(" > "));
      const nameless = await page.evaluate(() =>
        [...document.querySelectorAll("button, select, input:not([hidden]), progress")].filter((control) => {
          const name = control.getAttribute("aria-label") || control.labels?.[0]?.textContent || control.textContent;
          return !name?.trim();
        }).map((control) => control.outerHTML));
      assert.deepEqual(nameless, []);
      const reached = [];
      for (let press = 0; press < 20; press++) {
        await page.keyboard.press("Tab");
        reached.push(await page.evaluate(() => document.activeElement.id));
      }
      for (const id of ["use-camera", "use-picture", "use-clip", "pause", "model", "precision", "device", "open-model", "benchmark"]) {
        assert.ok(reached.includes(id), `${id} is not among ${reached}`);
      }
    }, { viewport: { width, height: 844 }, colorScheme, reducedMotion: "reduce" });
  });
}

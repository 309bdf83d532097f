// A thousand frames: nothing grows, and the page's thread is left alone.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, open } from "./browser.mjs";
import { gauge } from "./gauge.mjs";
import { serve } from "./server.mjs";

/** Frames until everything has its size. */
const FIRST = 100;
/** Heaps are looked at so many times. What is compiled on the way makes one grow now and then, frames always. */
const PARTS = 5;
/** Bytes of JavaScript's objects for each frame: less than the smallest object that could be forgotten. */
const SLACK = 64;
/** Processor time of the page's thread for a frame, in milliseconds. */
const A_FRAME = 10;
const PICTURE = "/tests/data/cifar10/ship/0000.png";
let server, browser;

before(async () => {
  server = await serve({ "/pkg/": process.env.WEB_PKG, "/assets/": "assets", "/tests/": "tests" });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  server?.close();
});

/** In the page: counts what is made on its GPU, and tasks that block it. */
function watch() {
  globalThis.made = {};
  for (const name of Object.getOwnPropertyNames(globalThis.GPUDevice?.prototype ?? {}).filter((name) => name.startsWith("create"))) {
    const create = GPUDevice.prototype[name];
    GPUDevice.prototype[name] = function (...args) {
      made[name] = (made[name] ?? 0) + 1;
      return create.apply(this, args);
    };
  }
  globalThis.long = [];
  new PerformanceObserver((list) => list.getEntries().forEach((entry) => long.push(Math.round(entry.duration)))).observe({ type: "longtask" });
}

const load = async ([device, worker, path]) => {
  const { Session } = await import("/pkg/index.js");
  globalThis.session = await Session.load(undefined, { device, worker });
  const image = new Image();
  image.src = path;
  await image.decode();
  globalThis.bitmap = await createImageBitmap(image);
  return session.memory();
};

/** Frames, two at once, as a page would ask for them. */
const run = async (count) => {
  globalThis.session.best ??= (await session.classify(bitmap, { top: 1 }))[0].class;
  for (let at = 0; at < count; at += 2) {
    const answers = await Promise.all([session.classify(bitmap, { top: 1 }), session.classify(bitmap, { top: 1 })]);
    if (answers.some(([top]) => top.class !== session.best)) throw new Error(`frame ${at} is ${JSON.stringify(answers)}`);
  }
  return { memory: await session.memory(), made: { ...made }, long: long.splice(0) };
};

const shown = (long) => (long.length ? `${long.length} over 50 ms, the longest ${Math.max(...long)} ms` : "none over 50 ms");

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

for (const [device, worker, frames] of [["webgpu", true, 1000], ["webgpu", false, 200], ["cpu", true, 1000]]) {
  const where = `${device}, ${worker ? "in a worker" : "on the page"}`;
  test(`${frames} frames on ${where}: memory stands still`, async () => {
    const opened = await open(browser, server.origin);
    try {
      const { page } = opened;
      const { heaps, busy } = await gauge(page);
      await page.evaluate(watch);
      const idle = await busy();
      await page.evaluate(load, [device, worker, PICTURE]);
      const loaded = await busy();
      const tasks = await page.evaluate(() => long.splice(0));
      const first = await page.evaluate(run, FIRST);
      const seen = [await heaps()];
      const long = first.long;
      let spent = 0, last;
      for (let part = 0; part < PARTS; part++) {
        const from = await busy();
        last = await page.evaluate(run, frames / PARTS);
        spent += (await busy()) - from;
        long.push(...last.long);
        seen.push(await heaps());
      }

      assert.deepEqual(last.memory, first.memory);
      assert.ok(last.memory.wasm > 0 && last.memory.gpuObjects > 0 === (device === "webgpu"), JSON.stringify(last.memory));
      seen.forEach((all) => assert.equal(all.length, worker ? 2 : 1, "the worker's heap was not seen"));
      const heap = seen[0].map((_, at) => seen.map((all) => all[at]));
      // Too few frames for what is compiled on the way to settle say nothing.
      for (const sizes of frames >= 1000 ? heap : []) {
        const grown = median(sizes.slice(1).map((size, part) => size - sizes[part]));
        assert.ok(grown < (SLACK * frames) / PARTS, `a heap grows: ${sizes.join(" → ")} bytes`);
      }
      if (device === "webgpu" && !worker) {
        const { createCommandEncoder: encoders, ...others } = last.made;
        assert.equal(encoders - first.made.createCommandEncoder, frames, "one encoder a frame");
        const { createCommandEncoder: _, ...earlier } = first.made;
        assert.deepEqual(others, earlier, "objects of the GPU, by who made them");
        assert.ok(others.createComputePipelineAsync > 3, JSON.stringify(others));
      }
      // In processor time, which other programs do not disturb; blocks by the wall's clock are told, not held.
      assert.ok(spent / frames <= A_FRAME, `the page's thread computes for ${spent / frames} ms a frame`);
      console.log(`${where}: page's thread ${(loaded - idle).toFixed(0)} ms to load, tasks ${shown(tasks)}; ` +
        `${(spent / frames).toFixed(2)} ms a frame, tasks ${shown(long)}; ` +
        `heaps ${heap.map((sizes) => sizes.join(" → ")).join(", ")}; wasm ${last.memory.wasm}`);
    } finally {
      await opened.close();
    }
  });
}

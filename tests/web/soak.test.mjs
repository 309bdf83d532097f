// Soak: frames of changing sizes, precisions and callers who change their minds. SOAK_FRAMES=10000 for the long one.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { launch, open } from "./browser.mjs";
import { gauge } from "./gauge.mjs";
import { serve } from "./server.mjs";

const FRAMES = Number(process.env.SOAK_FRAMES ?? 400);
/** Frames between two sessions, each in the next precision. */
const SPAN = Math.max(50, FRAMES / 50);
let server, browser;

before(async () => {
  assert.ok(FRAMES >= 2 * SPAN, `SOAK_FRAMES is ${process.env.SOAK_FRAMES}; a whole number from 100 on is wanted`);
  server = await serve({ "/pkg/": process.env.WEB_PKG, "/tests/": "tests" });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  server?.close();
});

/** A part of the soak, in the page: one session, random frames; what was answered otherwise than the first time. */
const part = async ([seed, precision, frames]) => {
  const { Session } = await import("/pkg/index.js");
  let state = seed;
  const random = (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  globalThis.source ??= await createImageBitmap(await (await fetch("/tests/data/cifar10/ship/0000.png")).blob());
  globalThis.known ??= new Map();
  const session = await Session.load(undefined, { device: "webgpu", worker: false, precision });
  const wrong = [];
  let answered = 0, cancelled = 0;
  for (let at = 0; at < frames; at += 2) {
    await Promise.all([0, 1].map(async () => {
      const [width, height] = [8 + random(5) * 14, 8 + random(5) * 14];
      const frame = await createImageBitmap(source, { resizeWidth: width, resizeHeight: height });
      const controller = new AbortController();
      const call = session.run(frame, { logits: true, signal: controller.signal });
      const chance = random(10);
      if (chance === 0) controller.abort();
      if (chance === 1) setTimeout(() => controller.abort(), random(20));
      try {
        const { logits } = await call;
        const key = `${precision} ${width} ${height}`;
        const first = known.get(key);
        if (!first) known.set(key, Array.from(logits));
        else if (first.some((value, i) => value !== logits[i])) wrong.push(key);
        answered++;
      } catch (error) {
        if (error.name !== "AbortError" || chance > 1) throw error;
        cancelled++;
      } finally {
        frame.close();
      }
    }));
  }
  const memory = await session.memory();
  session.free();
  return { answered, cancelled, wrong, wasm: memory.wasm, objects: memory.gpuObjects };
};

/** Bytes that the browser's GPU process holds. */
async function resident(devtools) {
  const { processInfo } = await devtools.send("SystemInfo.getProcessInfo");
  const gpu = processInfo.find(({ type }) => type.toLowerCase() === "gpu");
  const status = gpu && (await readFile(`/proc/${gpu.id}/status`, "utf8").catch(() => undefined));
  return status && Number(/VmRSS:\s+(\d+)/.exec(status)[1]) * 1024;
}

const half = (values, second) => values.slice(...(second ? [Math.floor(values.length / 2)] : [0, Math.floor(values.length / 2)]));

test(`${FRAMES} frames with changes of precision and size, and cancellations`, async () => {
  const opened = await open(browser, server.origin);
  try {
    const { heaps } = await gauge(opened.page);
    const devtools = await browser.newBrowserCDPSession();
    const parts = [], heap = [], rss = [];
    for (let frames = 0; frames < FRAMES; frames += SPAN) {
      const precision = ["f32", "w8", "f16"][parts.length % 3];
      parts.push({ precision, ...(await opened.page.evaluate(part, [parts.length + 1, precision, SPAN])) });
      heap.push((await heaps())[0]);
      rss.push(await resident(devtools));
    }
    const sum = (of) => parts.reduce((all, one) => all + of(one), 0);
    const [answered, cancelled] = [sum((one) => one.answered), sum((one) => one.cancelled)];
    console.log(`${answered} answered, ${cancelled} cancelled, ${parts.length} sessions; page's heap ${heap[0]} → ${heap.at(-1)}, ` +
      `wasm ${parts[0].wasm} → ${parts.at(-1).wasm}, GPU process ${rss[0]} → ${rss.at(-1)} bytes`);
    assert.deepEqual(parts.flatMap((one) => one.wrong), []);
    assert.ok(answered > FRAMES / 2 && cancelled > FRAMES / 100, `${answered} answered, ${cancelled} cancelled`);
    // Objects of the GPU: as many for every session of a precision, but for the sizes that frames had in it.
    for (const { precision, objects } of parts) {
      const first = parts.find((one) => one.precision === precision).objects;
      assert.ok(objects < first * 2 + SPAN, `${precision}: ${objects} objects, ${first} the first time`);
    }
    // Sessions that were freed leave nothing in the heap of wasm, which never shrinks.
    const most = (values) => Math.max(...values);
    assert.ok(most(half(parts, true).map((one) => one.wasm)) <= 1.1 * most(half(parts, false).map((one) => one.wasm)), "wasm heap grows");
    assert.ok(heap.at(-1) < heap[0] + 500_000, `page's heap: ${heap.join(" → ")}`);
  } finally {
    await opened.close();
  }
});

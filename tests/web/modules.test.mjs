// Which of the package's WebAssembly modules a page fetches: what it uses, and nothing else.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, older, open } from "./browser.mjs";
import { serve } from "./server.mjs";

const FOLDERS = { "/pkg/": process.env.WEB_PKG, "/assets/": "assets", "/tests/": "tests" };
const CHECKPOINT = "/tests/data/golden/repvgg_tiny.train.safetensors";
let gpu, plain;

before(async () => {
  [gpu, plain] = await Promise.all([launch(), launch({ webgpu: false })]);
});

after(() => Promise.all([gpu?.close(), plain?.close()]));

/** What `work` returns in a fresh page of its own server, and the modules and bindings that were fetched for it. */
async function fetched(browser, work, argument, options) {
  const server = await serve(FOLDERS);
  const opened = await open(browser, server.origin, options);
  try {
    const value = await opened.page.evaluate(async ([source, argument]) => {
      globalThis.foveate = await import("/pkg/index.js");
      globalThis.picture = async (path) => {
        const image = new Image();
        image.src = path;
        await image.decode();
        return image;
      };
      return (0, eval)(`(${source})`)(argument);
    }, [work.toString(), argument]);
    const counts = [...server.asked].map(([key, count]) => [key.match(/^GET \/pkg\/((?:gpu|cpu|import)\w*\.(?:js|wasm))$/)?.[1], count]);
    return { value, modules: Object.fromEntries(counts.filter(([name]) => name)) };
  } finally {
    await opened.close();
    server.close();
  }
}

const classes = async ({ model, ...options }) => {
  const session = await foveate.Session.load(model, options);
  const top = await session.classify(await picture("/assets/cat.png"));
  const again = await foveate.Session.load(model, { ...options, worker: false });
  const same = await again.classify(await picture("/assets/cat.png"));
  const kind = session.device.kind;
  session.free();
  again.free();
  return { kind, top: top.map(({ class: one, score }) => [one, score]), same: same.map(({ class: one }) => one) };
};

// Two sessions, one in a worker and one on the page: two threads, each with its own copy of a module.
const TWICE = 2;

test("a page with WebGPU fetches what computes there", async () => {
  const { value, modules } = await fetched(gpu, classes, { device: "webgpu" });
  assert.equal(value.kind, "webgpu");
  assert.deepEqual(modules, { "gpu.js": TWICE, "gpu_bg.wasm": TWICE });
});

test("a page without fetches what computes on the CPU, with the instructions that the browser has", async () => {
  const now = await fetched(plain, classes, {});
  assert.equal(now.value.kind, "cpu");
  assert.deepEqual(now.modules, { "cpu.js": TWICE, "cpu_relaxed_bg.wasm": TWICE });
  const before = await fetched(plain, classes, { worker: false }, { init: older });
  assert.deepEqual(before.modules, { "cpu.js": 1, "cpu_bg.wasm": TWICE - 1 });
  // The same answer, rounded otherwise.
  assert.deepEqual(now.value.top.map(([one]) => one), before.value.top.map(([one]) => one));
  assert.deepEqual(now.value.same, before.value.same);
  now.value.top.forEach(([, score], at) => assert.ok(Math.abs(score - before.value.top[at][1]) < 1e-4, `${score}`));
});

test("checkpoints and networks by name go through what reads and fuses them", async () => {
  for (const model of [CHECKPOINT, { random: "repvgg-cifar" }]) {
    const { value, modules } = await fetched(plain, classes, { model });
    assert.equal(value.top.length, 5);
    const cpu = { "cpu.js": TWICE, "cpu_relaxed_bg.wasm": TWICE };
    assert.deepEqual(modules, { ...cpu, "import.js": TWICE, "import_bg.wasm": TWICE }, JSON.stringify(model));
  }
  const { modules } = await fetched(gpu, classes, { model: CHECKPOINT, device: "webgpu" });
  assert.deepEqual(Object.keys(modules).sort(), ["gpu.js", "gpu_bg.wasm", "import.js", "import_bg.wasm"]);
});

test("importing twice on one thread starts afresh, and holds no memory", async () => {
  const { value, modules } = await fetched(plain, async (model) => {
    const { imported } = await import("/pkg/modules.js");
    const bytes = new Uint8Array(await (await fetch(model)).arrayBuffer());
    const first = await imported(bytes, {});
    const failed = await imported(bytes.slice(0, 100), {}).catch((error) => error.code);
    const second = await imported(bytes, {});
    return { same: first.bytes.every((byte, at) => byte === second.bytes[at]), length: first.bytes.length, failed };
  }, CHECKPOINT);
  assert.ok(value.same && value.length > 1000, JSON.stringify(value));
  assert.equal(value.failed, "bad-file");
  assert.ok(!("cpu_bg.wasm" in modules || "gpu_bg.wasm" in modules), JSON.stringify(modules));
});

test("what is no GPU's fault is not tried again on the CPU; the names of networks cost no module", async () => {
  const { value, modules } = await fetched(gpu, async () => {
    const names = await foveate.Session.models();
    const failed = await foveate.Session.load("/assets/cat.png", { device: "webgpu" }).catch((error) => error.code);
    return { names: names.length, failed };
  });
  assert.deepEqual(value, { names: 44, failed: "bad-file" });
  assert.deepEqual(Object.keys(modules), ["import.js", "import_bg.wasm"]);
});

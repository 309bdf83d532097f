// The browser package in Chromium: the same answers as the native program, wherever it computes.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { launch, open } from "./browser.mjs";
import { serve } from "./server.mjs";

// `{ pictures: [path], runs: { f32: [{ top, logits }], … }, models: { f32: path } }`, by the native program.
const expected = JSON.parse(await readFile(process.env.WEB_EXPECTED, "utf8"));
let server, gpu, plain;

before(async () => {
  const folders = { "/pkg/": process.env.WEB_PKG, "/assets/": "assets", "/tests/": "tests", "/made/": process.env.WEB_MADE };
  server = await serve({ ...folders, "/slow/": "assets" });
  [gpu, plain] = await Promise.all([launch(), launch({ webgpu: false })]);
});

after(async () => {
  await Promise.all([gpu?.close(), plain?.close()]);
  server?.close();
});

/** Runs a function in a fresh page of a browser, in which `foveate` is the package. */
async function within(browser, work, argument, options) {
  const opened = await open(browser, server.origin, options);
  try {
    await opened.page.evaluate(async () => {
      globalThis.foveate = await import("/pkg/index.js");
      globalThis.picture = async (path) => {
        const image = new Image();
        image.src = path;
        await image.decode();
        return image;
      };
    });
    return await opened.page.evaluate(work, argument);
  } finally {
    await opened.close();
  }
}

// Of the largest logit. Pictures are prepared with other rounding.
const BOUNDS = { f32: 1e-4, w8: 1e-4, w8a8: 0.05 };

/** Decoders of JPEG differ by a grey level or so; everything else is the same. */
const bound = (path, precision) => (path.endsWith(".jpg") ? 0.1 : BOUNDS[precision]);

/** Logits within a part of the largest, and the same five best classes. */
function same(found, wanted, bound, what) {
  const largest = Math.max(...wanted.logits.map(Math.abs));
  assert.equal(found.logits.length, wanted.logits.length, what);
  const apart = Math.max(...wanted.logits.map((value, at) => Math.abs(value - found.logits[at])));
  assert.ok(apart <= bound * largest, `${what}: logits are ${apart / largest} of the largest apart, at most ${bound}`);
  const classes = (answer) => answer.top.map((top) => [top.class, top.label]);
  if (what.includes(".jpg")) {
    assert.deepEqual(classes(found)[0], classes(wanted)[0], what);
    return;
  }
  assert.deepEqual(classes(found), classes(wanted), what);
  found.top.forEach((top, at) => assert.ok(Math.abs(top.score - wanted.top[at].score) < 2e-3, what));
}

const classified = ({ model, options, pictures }) =>
  (async () => {
    const session = await foveate.Session.load(model, options);
    const answers = [];
    for (const path of pictures) {
      const { top, logits } = await session.run(await picture(path), { top: 5, logits: true });
      answers.push({ top, logits: Array.from(logits), again: await session.classify(await picture(path)) });
    }
    const info = session.info;
    session.free();
    return { answers, info };
  })();

const pictures = expected.pictures.map((path) => `/${path}`);
for (const device of ["webgpu", "cpu"]) {
  for (const worker of [true, false]) {
    for (const precision of Object.keys(expected.runs)) {
      test(`${precision} on ${device}, ${worker ? "in a worker" : "on the page"}: native answers`, async () => {
        const model = expected.models[precision];
        const { answers, info } = await within(gpu, classified, { model, options: { device, worker, precision }, pictures });
        assert.equal(info.device.kind, device);
        assert.equal(info.precision, precision, info.precisionNote);
        assert.equal(answers.length, pictures.length);
        answers.forEach((answer, at) => {
          same(answer, expected.runs[precision][at], bound(pictures[at], precision), `${pictures[at]} in ${precision}`);
          assert.deepEqual(answer.again.map((top) => top.class), answer.top.map((top) => top.class));
        });
      });
    }
  }
}

for (const [device, inner] of [["webgpu", () => gpu], ["cpu", () => plain]]) {
  test(`every kind of source gives the same answer on the ${device}`, async () => {
    const { answers, kinds, wanted } = await within(inner(), async ([path, device]) => {
      const session = await foveate.Session.load(undefined, { device });
      const image = await picture(path);
      const [width, height] = [image.naturalWidth, image.naturalHeight];
      const drawn = (canvas, options) => {
        [canvas.width, canvas.height] = [width, height];
        const drawing = canvas.getContext("2d", options);
        drawing.drawImage(image, 0, 0);
        return drawing;
      };
      const drawing = drawn(document.createElement("canvas"));
      const { canvas } = drawing;
      const blob = await (await fetch(path)).blob();
      const sources = {
        canvas, blob,
        offscreen: drawn(new OffscreenCanvas(width, height)).canvas,
        bitmap: await createImageBitmap(image),
        frame: new VideoFrame(canvas, { timestamp: 0 }),
        data: drawing.getImageData(0, 0, width, height),
        wide: drawn(new OffscreenCanvas(width, height), { colorSpace: "display-p3" }).getImageData(0, 0, width, height),
        halves: drawing.getImageData(0, 0, width, height, { pixelFormat: "rgba-float16" }),
        // Chromium's WebGPU copies none of these.
        deep: drawn(document.createElement("canvas"), { colorType: "float16" }).canvas,
        file: new File([blob], "picture.png"),
      };
      const answers = {};
      for (const [name, source] of Object.entries(sources)) {
        answers[name] = Array.from((await session.run(source, { logits: true })).logits);
        // What is the caller's stays usable.
        await session.classify(source);
      }
      const { colorType } = sources.deep.getContext("2d").getContextAttributes();
      const kinds = [sources.data.data.length, sources.wide.colorSpace, sources.halves.data.constructor.name, colorType];
      return { answers, kinds, wanted: Array.from((await session.run(image, { logits: true })).logits) };
    }, [pictures[1], device]);
    assert.ok(Object.keys(answers).length >= 10);
    assert.ok(kinds[0] > 0);
    assert.deepEqual(kinds.slice(1), ["display-p3", "Float16Array", "float16"]);
    const largest = Math.max(...wanted.map(Math.abs));
    for (const [name, logits] of Object.entries(answers)) {
      const apart = Math.max(...logits.map((value, at) => Math.abs(value - wanted[at])));
      assert.ok(apart <= 0.02 * largest, `${name}: ${apart / largest}`);
    }
  });
}

test("a picture that the page may not read is an error that says so, and the next is answered", async () => {
  const other = await serve({ "/": "assets" });
  try {
    for (const [device, inner] of [["webgpu", gpu], ["cpu", plain]]) {
      for (const worker of [true, false]) {
        const { refused, top } = await within(inner, async ([path, foreign, device, worker]) => {
          const session = await foveate.Session.load(undefined, { device, worker });
          const image = new Image();
          image.src = foreign;
          await image.decode();
          const refused = [];
          for (const source of [image, await createImageBitmap(image)]) {
            const told = await session.classify(source).then(() => "an answer", ({ name, code, message }) => ({ name, code, message }));
            refused.push(told);
          }
          return { refused, top: await session.classify(await picture(path)) };
        }, [pictures[0], `${other.origin}/cat.png`, device, worker]);
        const what = `${device}, worker ${worker}: ${JSON.stringify(refused)}`;
        for (const { code, message } of refused) {
          assert.equal(code, "unsupported-source", what);
          assert.match(message, /another origin/, what);
        }
        assert.equal(refused.length, 2);
        assert.deepEqual(top.map((t) => t.class), expected.runs.f32[0].top.map((t) => t.class), what);
      }
    }
  } finally {
    other.close();
  }
});

test("without WebGPU the CPU executor says why, and webgpu is an error with a hint", async () => {
  const { device, top, refused } = await within(plain, async (path) => {
    const session = await foveate.Session.load();
    const refused = await foveate.Session.load(undefined, { device: "webgpu" }).catch((e) => ({ ...e, name: e.name, hint: e.hint, code: e.code }));
    return { device: session.device, top: await session.classify(await picture(path)), refused };
  }, pictures[0]);
  assert.equal(device.kind, "cpu");
  assert.ok(["no-webgpu", "no-adapter"].includes(device.code), device.code);
  assert.match(device.reason, /WebGPU/);
  assert.deepEqual(top.map((t) => t.class), expected.runs.f32[0].top.map((t) => t.class));
  assert.equal(refused.code, device.code);
  assert.ok(refused.hint.length > 10);
});

test("a software adapter is left alone unless it is asked for", async () => {
  const device = await within(gpu, async () => (await foveate.Session.load()).device);
  assert.equal(device.kind, "cpu");
  assert.match(device.reason, /computes on the CPU/);
});

test("a destroyed device in mid-stream: the next answers are right", async () => {
  const { before, during, later, recovered, told } = await within(gpu, async (path) => {
    const devices = [];
    const request = GPUAdapter.prototype.requestDevice;
    GPUAdapter.prototype.requestDevice = async function (...args) {
      const device = await request.apply(this, args);
      devices.push(device);
      return device;
    };
    let told = 0;
    const session = await foveate.Session.load(undefined, { device: "webgpu", worker: false, onRecover: () => told++ });
    const image = await picture(path);
    const classes = (top) => top.map((t) => t.class);
    const before = classes(await session.classify(image));
    const flying = [session.classify(image), session.classify(image)];
    devices.at(-1).destroy();
    flying.push(session.classify(image));
    const during = (await Promise.all(flying)).map(classes);
    const later = classes(await session.classify(image));
    return { before, during, later, recovered: session.info.recovered, told };
  }, pictures[1]);
  assert.deepEqual(before, expected.runs.f32[1].top.map((t) => t.class));
  assert.equal(during.length, 3);
  [...during, later].forEach((classes) => assert.deepEqual(classes, before));
  assert.equal(recovered, 1);
  assert.ok(told >= 1);
});

test("aborting: while fetching, before and while classifying", async () => {
  const errors = await within(gpu, async (path) => {
    const told = (promise) => promise.then(() => "nothing", (e) => `${e.name} ${e.code}`);
    const errors = [];
    for (const worker of [true, false]) {
      const controller = new AbortController();
      const onProgress = ({ stage, done }) => stage === "fetch" && done > 0 && controller.abort();
      const slow = "/slow/cifar10-qarepvgg.safetensors";
      errors.push(await told(foveate.Session.load(slow, { worker, signal: controller.signal, onProgress, cache: false })));
      const session = await foveate.Session.load(undefined, { worker, device: "webgpu" });
      const image = await picture(path);
      errors.push(await told(session.classify(image, { signal: AbortSignal.abort() })));
      const late = new AbortController();
      const running = told(session.classify(image, { signal: late.signal }));
      queueMicrotask(() => late.abort());
      errors.push(await running);
      // It goes on all the same.
      errors.push((await session.classify(image)).length);
    }
    return errors;
  }, pictures[0]);
  const once = ["AbortError aborted", "AbortError aborted", "AbortError aborted", 5];
  assert.deepEqual(errors, [...once, ...once]);
});

test("what cannot be loaded is refused with a code, in words that say what to do", async () => {
  const errors = await within(gpu, async () => {
    const bytes = new Uint8Array(await (await fetch(foveate.BUILTIN)).arrayBuffer());
    const told = (...args) => foveate.Session.load(...args).then(() => ["loaded"], (e) => [e.code, e.message, e.hint, e instanceof foveate.FoveateError]);
    const damaged = bytes.slice();
    damaged.fill(255, 8, 200);
    return {
      cut: await told(bytes.subarray(0, bytes.length / 2)),
      damaged: await told(damaged),
      noise: await told(crypto.getRandomValues(new Uint8Array(5000))),
      empty: await told(new Uint8Array()),
      picture: await told(Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13)),
      pointer: await told(new TextEncoder().encode("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n")),
      nowhere: await told("/assets/none.safetensors"),
      hash: await told(undefined, { sha256: "0".repeat(64) }),
      unknown: await told({ random: "no-such-network" }),
      option: await told(undefined, { presision: "w8" }),
      precision: await told(undefined, { precision: "int4" }),
      device: await told(undefined, { device: "gpu" }),
      source: await told(17),
    };
  });
  const codes = Object.fromEntries(Object.entries(errors).map(([name, [code]]) => [name, code]));
  assert.deepEqual(codes, {
    cut: "bad-file", damaged: "bad-file", noise: "bad-file", empty: "bad-file", picture: "bad-file", pointer: "bad-file",
    nowhere: "network", hash: "integrity", unknown: "unknown-model", option: "invalid-argument",
    precision: "invalid-argument", device: "invalid-argument", source: "invalid-argument",
  });
  assert.match(errors.picture[1], /is a PNG picture, not a checkpoint; give it as the picture/);
  assert.match(errors.pointer[1], /is a pointer of Git LFS.*git lfs pull/);
  for (const [name, [, message, hint, isOurs]] of Object.entries(errors)) {
    assert.ok(message.length > 10 && hint.length > 10 && isOurs, `${name}: ${message}; ${hint}`);
  }
});

test("a second load needs no network, and a damaged copy is fetched again", async () => {
  const path = "/assets/cifar10-qarepvgg.safetensors";
  const opened = await open(gpu, server.origin);
  const load = (options) => opened.page.evaluate(async ([path, options]) => {
    const { Session } = await import("/pkg/index.js");
    const session = await Session.load(path, { device: "cpu", ...options });
    const { source } = session.info;
    session.free();
    return source;
  }, [path, options]);
  try {
    const count = () => server.asked.get(`GET ${path}`) ?? 0;
    const before = count();
    const first = await load({});
    assert.equal(first.from, "network");
    assert.match(first.sha256, /^[0-9a-f]{64}$/);
    assert.equal((await load({})).from, "cache");
    assert.equal(count(), before + 1);
    // No connection to the model's server at all.
    await opened.context.route(`**${path}`, (route) => route.abort());
    assert.equal((await load({})).from, "cache");
    assert.equal((await load({ sha256: first.sha256 })).from, "cache");
    await opened.context.unroute(`**${path}`);
    await opened.page.evaluate(async (path) => {
      const [name] = await caches.keys();
      const store = await caches.open(name);
      const kept = await store.match(path);
      const bytes = new Uint8Array(await kept.arrayBuffer());
      bytes[100] ^= 1;
      await store.put(path, new Response(bytes, { headers: kept.headers }));
    }, path);
    assert.equal((await load({})).from, "network");
    assert.equal((await load({})).from, "cache");
    assert.equal(await opened.page.evaluate(async () => (await import("/pkg/index.js")).Session.forget()), true);
    assert.equal((await load({})).from, "network");
  } finally {
    await opened.close();
  }
});

test("in the caller's own worker", async () => {
  const { classes, device } = await within(gpu, (path) => new Promise((resolve, reject) => {
    const worker = new Worker("/tests/web/own_worker.js", { type: "module" });
    worker.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve(data));
    worker.onerror = (event) => reject(new Error(event.message));
    worker.postMessage(path);
  }), pictures[1]);
  assert.deepEqual(classes, expected.runs.f32[1].top.map((t) => t.class));
  assert.equal(device.kind, "webgpu");
});

test("features have the shapes that they say, and a random network runs", async () => {
  const { maps, names, top } = await within(gpu, async (path) => {
    const image = await picture(path);
    const session = await foveate.Session.load(undefined, { features: "stages", device: "webgpu" });
    const { maps } = await session.features(image);
    const random = await foveate.Session.load({ random: "mobileone-s0" }, { device: "cpu", inputSize: [64, 96] });
    return {
      maps: maps.map(({ name, stage, shape, stride, data }) => ({ name, stage, shape, stride, values: data.length })),
      names: session.info.features,
      top: await random.classify(image, { top: 40 }),
    };
  }, pictures[0]);
  assert.ok(maps.length >= 3);
  assert.deepEqual(maps.map((map) => map.name), names);
  for (const { shape, values, stage } of maps) {
    assert.equal(shape.reduce((a, b) => a * b), values);
    assert.ok(stage);
  }
  assert.equal(top.length, 40);
  assert.ok(top.every((entry, at) => at === 0 || entry.score <= top[at - 1].score));
});

test("a session says what it runs and on what", async () => {
  const infos = await within(gpu, async () => {
    const infos = {};
    for (const device of ["webgpu", "cpu"]) {
      for (const precision of ["f32", "w8"]) {
        const session = await foveate.Session.load(undefined, { device, precision });
        infos[`${device} ${precision}`] = session.info;
        session.free();
      }
    }
    return infos;
  });
  for (const [name, { device, steps, weightBytes, parameters }] of Object.entries(infos)) {
    const onGpu = name.startsWith("webgpu");
    assert.ok(steps >= 5 && steps < 100, `${name}: ${steps} steps`);
    assert.equal(device.software, onGpu, name);
    assert.equal(device.timestampPeriod, onGpu ? 1 : null, name);
    if (onGpu) assert.match(device.name, /swiftshader/i);
    // Weights of 8 bits have scales, and kernels pad channels to four.
    const [least, most] = name.endsWith("webgpu w8") ? [1, 2] : [1, 8];
    assert.ok(weightBytes > least * parameters && weightBytes < most * parameters, `${name}: ${weightBytes} of ${parameters}`);
  }
  assert.ok(infos["webgpu w8"].weightBytes < infos["webgpu f32"].weightBytes / 2, JSON.stringify(infos["webgpu w8"].weightBytes));
});

test("calls are answered in order, two at once, and freeing rejects what is under way", async () => {
  const { order, codes } = await within(gpu, async (paths) => {
    const session = await foveate.Session.load(undefined, { device: "webgpu" });
    const images = await Promise.all(paths.map(picture));
    const order = [];
    const calls = [...images, ...images].map((image, at) => session.classify(image, { top: 1 }).then((top) => order.push([at, top[0].class])));
    await Promise.all(calls);
    const flying = [1, 2, 3].map(() => session.classify(images[0]).then(() => "answered", (e) => e.code));
    session.free();
    return { order, codes: [...(await Promise.all(flying)), await session.classify(images[0]).catch((e) => e.code)] };
  }, pictures);
  assert.deepEqual(order.map(([at]) => at), order.map((_, at) => at));
  const best = expected.runs.f32.map((run) => run.top[0].class);
  assert.deepEqual(order.map(([, found]) => found), [...best, ...best]);
  assert.deepEqual(codes, ["closed", "closed", "closed", "closed"]);
});

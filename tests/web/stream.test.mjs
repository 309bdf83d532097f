// Video: a camera that shows a test picture, and frames that are all closed.
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch, open } from "./browser.mjs";
import { camera, clip } from "./clip.mjs";
import { gauge } from "./gauge.mjs";
import { serve } from "./server.mjs";

const expected = JSON.parse(await readFile(process.env.WEB_EXPECTED, "utf8"));
const at = expected.pictures.indexOf("assets/horse.png");
let server, scratch;

before(async () => {
  server = await serve({ "/pkg/": process.env.WEB_PKG, "/assets/": "assets" });
  scratch = await mkdtemp(join(tmpdir(), "foveate-web-"));
});

after(async () => {
  server?.close();
  if (scratch) await rm(scratch, { recursive: true });
});

const until = async (done) => {
  while (!(await done())) await new Promise((resolve) => setTimeout(resolve, 50));
};

test("a camera's frames are classified, on WebGPU and on the CPU", async () => {
  const plain = await launch();
  const file = join(scratch, "clip.y4m");
  await clip(plain, server.origin, { path: "/assets/horse.png", width: 256, height: 256, file });
  await plain.close();
  const browser = await launch({ args: camera(file) });
  const opened = await open(browser, server.origin);
  try {
    const answers = await opened.page.evaluate(async () => {
      const { Session } = await import("/pkg/index.js");
      const stream = await navigator.mediaDevices.getUserMedia({ video: true });
      const video = document.createElement("video");
      video.muted = true;
      video.srcObject = stream;
      const early = await Session.load();
      const refused = await early.classify(document.createElement("video")).catch((error) => error.code);
      await video.play();
      const answers = [];
      for (const device of ["webgpu", "cpu"]) {
        for (const worker of [true, false]) {
          const session = await Session.load(undefined, { device, worker });
          for (let frame = 0; frame < 3; frame++) {
            await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
            const [{ label, score }] = await session.classify(video, { top: 1 });
            answers.push({ device, worker, label, score });
          }
          session.free();
        }
      }
      stream.getTracks().forEach((track) => track.stop());
      return { answers, refused };
    });
    assert.equal(answers.refused, "unsupported-source");
    assert.equal(answers.answers.length, 12);
    const { label, score } = expected.runs.f32[at].top[0];
    for (const answer of answers.answers) {
      assert.equal(answer.label, label, JSON.stringify(answer));
      // The way through video costs colours some precision.
      assert.ok(Math.abs(answer.score - score) < 0.15, JSON.stringify(answer));
    }
  } finally {
    await opened.close();
    await browser.close();
  }
});

test("no frame stays open: neither aborted nor freed with frames under way", async () => {
  const browser = await launch();
  const opened = await open(browser, server.origin);
  try {
    const { heaps } = await gauge(opened.page);
    const ended = await opened.page.evaluate(async () => {
      const { Session } = await import("/pkg/index.js");
      const canvas = new OffscreenCanvas(320, 240);
      canvas.getContext("2d").fillRect(10, 10, 100, 100);
      const told = (call) => call.then(() => "answered", (error) => error.code);
      const ended = [];
      for (const device of ["webgpu", "cpu"]) {
        for (const worker of [true, false]) {
          const session = await Session.load(undefined, { device, worker });
          const frames = Array.from({ length: 8 }, (_, at) => new VideoFrame(canvas, { timestamp: at }));
          const controller = new AbortController();
          const calls = frames.map((frame, at) => told(session.classify(frame, at === 3 ? { signal: controller.signal } : {})));
          controller.abort();
          await calls[0];
          session.free();
          session.free();
          ended.push(await Promise.all(calls));
          frames.forEach((frame) => frame.close());
        }
      }
      return ended;
    });
    assert.equal(ended.length, 4);
    for (const calls of ended) {
      assert.equal(calls[0], "answered");
      assert.equal(calls[3], "aborted");
      assert.equal(calls[7], "closed");
    }
    // Workers end when they are done; frames that were forgotten are told of when they are collected.
    await until(async () => opened.page.workers().length === 0);
    await heaps();
    await heaps();
    assert.deepEqual(opened.said.filter((text) => /VideoFrame/.test(text)), []);
  } finally {
    await opened.close();
    await browser.close();
  }
});

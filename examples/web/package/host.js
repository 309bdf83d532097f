// Where a session computes: around the wasm engine, in a worker or on the caller's own thread.
import { choose, named } from "./device.js";
import { FoveateError, check, typed } from "./errors.js";
import { obtain } from "./files.js";
import { copying, pixels, sizeOf } from "./frames.js";
import { Gate } from "./gate.js";
import { imported, isModelFile, part } from "./modules.js";

/** Frames under way at once: one computes while the next is handed over. */
const AT_ONCE = 2;

/** What the CPU could not do better. */
const FINAL = new Set(["bad-file", "unknown-model", "invalid-argument", "not-finite", "device-lost", "network", "missing-feature"]);

export class Host {
  #engine;
  #memory;
  #gate = new Gate(AT_ONCE);
  #recovering;
  /** How often the GPU was lost and had again. */
  recovered = 0;
  #choice;
  #name;
  #imported;
  #source;
  #stamped = false;
  #failed;

  static async load(source, options, { onProgress, signal } = {}) {
    const host = new Host();
    try {
      await host.#load(source, options, onProgress, signal);
    } catch (error) {
      throw typed(error);
    }
    return host;
  }

  async #load(source, options, onProgress, signal) {
    const { device = "auto", sha256, cache, arch, useEma, prove, ...rest } = options;
    this.#choice = await choose(device);
    const random = source?.random === undefined ? undefined : { name: source.random, seed: source.seed ?? 0 };
    const file = random
      ? { bytes: new Uint8Array(), from: "random" }
      : await obtain(source, { sha256, cache, onProgress, signal });
    let { bytes, ...about } = file;
    this.#source = { ...about, bytes: bytes.length };
    const origin = about.url ?? about.name;
    const watch = (stage, done, all) => onProgress?.(stage, done, all);
    watch("fuse", 0, 1);
    if (random || arch || useEma || !isModelFile(bytes)) {
      ({ bytes, load: this.#imported } = await imported(bytes, { origin, arch, useEma, prove, random }));
    }
    watch("fuse", 1, 1);
    check(signal);
    await this.#start(bytes, JSON.stringify({ ...rest, origin }), watch, device);
    if (signal?.aborted) {
      this.free();
      check(signal);
    }
  }

  /** On the GPU; on the CPU where that was chosen, or the GPU cannot and need not. */
  async #start(bytes, asked, watch, device) {
    if (this.#choice.device !== "cpu") {
      try {
        await this.#use("gpu", bytes, asked, watch);
        this.#name = await named();
        return;
      } catch (error) {
        const { code, message } = typed(error);
        if (device !== "auto" || FINAL.has(code)) throw error;
        this.#choice = { device: "cpu", code, reason: message };
      }
    }
    await this.#use("cpu", bytes, asked, watch);
  }

  async #use(name, bytes, asked, watch) {
    const { Engine, memory } = await part(name);
    this.#engine = await Engine.load(bytes, asked, watch);
    this.#memory = memory;
  }

  /** What there is to know of the session. */
  info() {
    const { device, ...info } = this.#engine.info();
    const { reason = device.reason, code } = device.kind === "cpu" ? this.#choice : {};
    const name = device.name || this.#name || "";
    const { timing } = info;
    return {
      ...info,
      timing: { ...timing, load: timing.load + (this.#imported ?? 0) },
      device: { ...device, name, software: device.software || /swiftshader|llvmpipe|lavapipe/i.test(name), reason, code },
      source: this.#source,
      recovered: this.recovered,
    };
  }

  /** What it holds: for seeing that nothing grows. */
  memory() {
    return { wasm: this.#memory.buffer.byteLength, gpuObjects: this.#engine.gpuObjects?.() ?? 0 };
  }

  /** `{ top, logits, ms, gpuMs }` of a frame. */
  run(frame, { top = 5, logits = false, gpuTime = false }, signal) {
    return this.#guarded({ alone: gpuTime, signal }, async () => {
      if (gpuTime && !this.#stamped) this.#stamped = await this.#engine.stamp?.(true);
      const start = performance.now();
      const answer = await this.#submit(frame, top, logits);
      const ms = performance.now() - start;
      return gpuTime ? { ...answer, ms, gpuMs: await this.#engine.gpuTime?.() } : { ...answer, ms };
    });
  }

  #submit(frame, top, logits) {
    if (frame.data || Math.max(...sizeOf(frame)) > (this.#engine.frameLimit?.() ?? 0)) {
      return this.#pixels(frame, top, logits);
    }
    return this.#bitmap(frame, async (bitmap) => {
      const { answer, refused } = copying(() => this.#engine.frame(bitmap, top, logits));
      const found = await answer;
      return refused ? this.#pixels(bitmap, top, logits) : found;
    });
  }

  #pixels(frame, top, logits) {
    const { width, height, data } = pixels(frame);
    return this.#engine.pixels(width, height, data, top, logits);
  }

  /** Video frames go by way of a bitmap: one that a browser cannot read is an error here. */
  async #bitmap(frame, work) {
    const converts = globalThis.VideoFrame && frame instanceof VideoFrame;
    const bitmap = converts ? await createImageBitmap(frame) : frame;
    try {
      return await work(bitmap);
    } finally {
      if (converts) bitmap.close();
    }
  }

  /** The values that the session keeps, for one frame. */
  features(frame, signal) {
    return this.#guarded({ alone: true, signal }, () => {
      const { width, height, data } = pixels(frame);
      return this.#engine.features(width, height, data);
    });
  }

  /** Runs something in its turn, and once more if the device is lost. */
  async #guarded(how, work) {
    const leave = await this.#gate.enter(how);
    try {
      if (this.#failed) throw this.#failed;
      await this.#recovering;
      try {
        return await work();
      } catch (error) {
        if (error?.code !== "device-lost") throw error;
        await this.#recover();
        return await work();
      }
    } catch (error) {
      // A trap leaves the engine in no state to go on.
      if (error instanceof WebAssembly.RuntimeError) this.#failed = typed(error);
      throw typed(error);
    } finally {
      leave();
    }
  }

  /** All who notice the same loss wait for the same device. */
  #recover() {
    this.#recovering ??= (async () => {
      try {
        await this.#engine.reopen();
        this.recovered += 1;
        this.#stamped = false;
      } catch (error) {
        throw new FoveateError("device-lost", `the GPU was lost, and there is no other: ${error.message}`, { cause: error });
      } finally {
        this.#recovering = undefined;
      }
    })();
    return this.#recovering;
  }

  /** Gives everything back; resolves once that is done, and nothing is under way any more. */
  free() {
    this.#failed ??= new FoveateError("closed", "this session was freed");
    const engine = this.#engine;
    this.#engine = undefined;
    // Runs that are under way hold on to the engine: it goes when they are done.
    return this.#gate.enter({ alone: true }).then(() => {
      try {
        engine?.free();
      } catch {
        // One that trapped cannot be freed: it goes with its memory.
      }
    });
  }
}

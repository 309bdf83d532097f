// Where a session computes: around the wasm engine, in a worker or on the caller's own thread.
import init, { Engine, models } from "./foveate.js";
import { choose, named } from "./device.js";
import { FoveateError, check, typed } from "./errors.js";
import { obtain } from "./files.js";
import { pixels, sizeOf } from "./frames.js";
import { Gate } from "./gate.js";

/** Frames under way at once: one computes while the next is handed over. */
const AT_ONCE = 2;

let memory;
const ready = async () => {
  try {
    ({ memory } = await init());
  } catch (error) {
    const old = error instanceof WebAssembly.CompileError;
    throw new FoveateError(old ? "missing-feature" : "network", `foveate's wasm could not be loaded: ${error.message}`, { cause: error });
  }
};

/** The names of all networks, for `{ random: name }`. */
export const names = async () => {
  await ready();
  return models();
};

export class Host {
  #engine;
  #gate = new Gate(AT_ONCE);
  #recovering;
  /** How often the GPU was lost and had again. */
  recovered = 0;
  #choice;
  #name;
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
    const { device = "auto", sha256, cache, ...rest } = options;
    this.#choice = await choose(device);
    await ready();
    const random = source?.random === undefined ? undefined : { name: source.random, seed: source.seed ?? 0 };
    const file = random
      ? { bytes: new Uint8Array(), from: "random" }
      : await obtain(source, { sha256, cache, onProgress, signal });
    const { bytes, ...about } = file;
    this.#source = { ...about, bytes: bytes.length };
    const origin = about.url ?? about.name;
    const asked = JSON.stringify({ ...rest, random, origin, device: this.#choice.device });
    check(signal);
    const watch = (stage, done, all) => onProgress?.(stage, done, all);
    this.#engine = await Engine.load(bytes, asked, watch);
    if (this.#engine.frameLimit() > 0) this.#name = await named();
    if (signal?.aborted) {
      this.free();
      check(signal);
    }
  }

  /** What there is to know of the session. */
  info() {
    const { device, ...info } = this.#engine.info();
    const { reason = device.reason, code } = device.kind === "cpu" ? this.#choice : {};
    const name = device.name || this.#name || "";
    return {
      ...info,
      device: { ...device, name, software: device.software || /swiftshader|llvmpipe|lavapipe/i.test(name), reason, code },
      source: this.#source,
      recovered: this.recovered,
    };
  }

  /** What it holds: for seeing that nothing grows. */
  memory() {
    return { wasm: memory.buffer.byteLength, gpuObjects: this.#engine.gpuObjects() };
  }

  /** `{ top, logits, ms, gpuMs }` of a frame. */
  run(frame, { top = 5, logits = false, gpuTime = false }, signal) {
    return this.#guarded({ alone: gpuTime, signal }, async () => {
      if (gpuTime && !this.#stamped) this.#stamped = await this.#engine.stamp(true);
      const start = performance.now();
      const answer = await this.#submit(frame, top, logits);
      const ms = performance.now() - start;
      return gpuTime ? { ...answer, ms, gpuMs: await this.#engine.gpuTime() } : { ...answer, ms };
    });
  }

  #submit(frame, top, logits) {
    if (frame.data || Math.max(...sizeOf(frame)) > this.#engine.frameLimit()) {
      const { width, height, data } = pixels(frame);
      return this.#engine.pixels(width, height, data, top, logits);
    }
    return this.#bitmap(frame, (bitmap) => this.#engine.frame(bitmap, top, logits));
  }

  /** Video frames go by way of a bitmap: what a browser cannot copy is an error here, and a trap in the engine. */
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

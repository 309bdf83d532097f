// foveate in the browser: load a network, classify what a page shows.
import { FoveateError, aborted, check, typed, unpacked } from "./errors.js";
import { forget } from "./files.js";
import { capture, release, transfers, unreadable } from "./frames.js";
import { NAMES } from "./names.js";

export { FoveateError };

/** The address of the network that comes with the package. */
export const BUILTIN = new URL("./cifar10-qarepvgg.safetensors", import.meta.url).href;

const OPTIONS = new Set([
  "precision", "device", "worker", "onProgress", "onRecover", "signal", "sha256", "cache",
  "arch", "useEma", "labels", "inputSize", "features", "prove", "safeShaders",
]);

/** A network on a device, ready to classify. */
export class Session {
  #host;
  #info;
  #onRecover;

  constructor(host, info, onRecover) {
    this.#host = host;
    this.#info = info;
    this.#onRecover = onRecover;
  }

  /** Loads a model: an address, a File or Blob, its bytes, `{ random: name }`, or the built-in one. */
  static async load(source = BUILTIN, options = {}) {
    const unknown = Object.keys(options).find((name) => !OPTIONS.has(name));
    if (unknown) throw new FoveateError("invalid-argument", `there is no option ${JSON.stringify(unknown)}`);
    const { signal, onProgress, onRecover, worker = typeof document !== "undefined", features, ...rest } = options;
    check(signal);
    const asked = { ...rest, stages: features === "stages", features: Array.isArray(features) ? features : [] };
    const progress = onProgress && ((stage, done, total) => onProgress({ stage, done, total }));
    const args = [located(source), asked, progress, signal];
    const host = await (worker ? remote(...args) : local(...args));
    return new Session(host, await host.info(), onRecover);
  }

  /** The best classes of a picture, best first: `[{ class, label, score }]`. */
  async classify(source, { top = 5, signal } = {}) {
    return (await this.run(source, { top, signal })).top;
  }

  /** As `classify`, with all logits and times where they are asked for. */
  async run(source, { top = 5, logits = false, gpuTime = false, signal } = {}) {
    if (!Number.isInteger(top) || top < 0) {
      throw new FoveateError("invalid-argument", `top is ${top}; a whole number of classes is wanted`);
    }
    const start = performance.now();
    const { recovered, ms, gpuMs, ...answer } = await this.#with(source, signal, (captured) => {
      return this.#host.run(captured, { top, logits, gpuTime }, signal);
    });
    return { ...answer, timing: { total: performance.now() - start, run: ms, gpu: gpuMs } };
  }

  /** The values that the session was asked to keep, for one picture: `{ maps, logits }`. */
  async features(source, { signal } = {}) {
    const { recovered, ...values } = await this.#with(source, signal, (captured) => this.#host.features(captured, signal));
    return values;
  }

  /** What there is to know of model and session. */
  get info() {
    return this.#info;
  }

  /** Where it computes, and why there. */
  get device() {
    return this.#info.device;
  }

  /** Bytes of the wasm heap, and how many objects were ever made on the GPU: both stand still from frame to frame. */
  async memory() {
    return this.#host.memory();
  }

  /** Gives everything back. */
  free() {
    this.#host.free();
  }

  [Symbol.dispose]() {
    this.free();
  }

  async #with(source, signal, work) {
    check(signal);
    const captured = await capture(source, this.#host.copies);
    try {
      const answer = await work(captured);
      check(signal);
      if (answer.recovered > this.#info.recovered) {
        this.#info = await this.#host.info();
        this.#onRecover?.(this.#info);
      }
      return answer;
    } finally {
      release(captured);
    }
  }

  /** The names of all networks that `{ random: name }` knows. */
  static async models() {
    return [...NAMES];
  }

  /** Drops the models that are kept in Cache Storage. */
  static forget() {
    return forget();
  }
}

const located = (source) => {
  if (source instanceof URL) return source.href;
  if (typeof source === "string") return new URL(source, globalThis.document?.baseURI ?? globalThis.location?.href).href;
  if (source instanceof Blob || source instanceof ArrayBuffer || ArrayBuffer.isView(source)) return source;
  if (typeof source?.random === "string") return source;
  throw new FoveateError("invalid-argument", "a model is an address, a File or Blob, its bytes, or { random: name }");
};

/** On this thread. */
async function local(source, options, onProgress, signal) {
  const { Host } = await import("./host.js");
  const host = await Host.load(source, options, { onProgress, signal });
  const counted = async (value) => ({ ...(await value), recovered: host.recovered });
  return {
    copies: false,
    info: () => host.info(),
    memory: () => host.memory(),
    run: ({ frame }, asked, abort) => counted(host.run(frame, asked, abort)),
    features: ({ frame }, abort) => counted(host.features(frame, abort)),
    free: () => host.free(),
  };
}

/** In a worker of its own; on this thread where that has no GPU and this one has. */
async function remote(source, options, onProgress, signal) {
  const worker = new Remote();
  const giveUp = () => worker.stop(aborted(signal));
  signal?.addEventListener("abort", giveUp, { once: true });
  try {
    const { gpu } = await worker.ready;
    if (!gpu && globalThis.navigator?.gpu && options.device !== "cpu") {
      worker.stop(new FoveateError("closed", "not used"));
      return await local(source, options, onProgress, signal);
    }
    await worker.call("load", { source, options }, { onProgress });
    return worker;
  } catch (error) {
    worker.stop(typed(error));
    throw error;
  } finally {
    signal?.removeEventListener("abort", giveUp);
  }
}

/** Milliseconds that a worker is given to end what it is at. */
const PATIENCE = 10_000;

class Remote {
  copies = true;
  #worker;
  #next = 1;
  #calls = new Map();
  #stopped;

  constructor() {
    this.ready = new Promise((resolve, reject) => this.#calls.set(undefined, { resolve, reject }));
    this.#worker = spawn(new URL("./worker.js", import.meta.url));
    this.#worker.onmessage = ({ data }) => this.#hear(data);
    this.#worker.onerror = (event) => {
      event.preventDefault?.();
      const message = event.message ?? "its script could not be loaded";
      this.stop(new FoveateError("internal", `foveate's worker failed: ${message}`, {
        hint: "Serve the package's files together, allow workers (worker-src) in the page's policy, or use worker: false.",
      }));
    };
  }

  #hear({ id, ready, gpu, progress, error, value }) {
    const call = this.#calls.get(id);
    if (!call) return;
    if (progress) {
      call.onProgress?.(...progress);
      return;
    }
    this.#calls.delete(id);
    if (error) call.reject(unpacked(error));
    else call.resolve(ready ? { gpu } : value);
  }

  /** Calls the worker; an abort is answered at once, whatever the worker is at. */
  call(call, message = {}, { onProgress, signal, transfer = [] } = {}) {
    if (this.#stopped) return Promise.reject(this.#stopped);
    if (signal?.aborted) return Promise.reject(aborted(signal));
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.#calls.delete(id);
        this.#worker.postMessage({ id, abort: true });
        reject(aborted(signal));
      };
      const settled = (settle) => (value) => {
        signal?.removeEventListener("abort", abort);
        settle(value);
      };
      signal?.addEventListener("abort", abort, { once: true });
      this.#calls.set(id, { resolve: settled(resolve), reject: settled(reject), onProgress });
      try {
        this.#worker.postMessage({ id, call, ...message }, transfer);
      } catch (error) {
        this.#calls.get(id).reject(message.captured ? unreadable(error) : typed(error));
        this.#calls.delete(id);
      }
    });
  }

  info() {
    return this.call("info");
  }

  memory() {
    return this.call("memory");
  }

  run(captured, options, signal) {
    return this.call("run", { captured: posted(captured), options }, { signal, transfer: transfers(captured) });
  }

  features(captured, signal) {
    return this.call("features", { captured: posted(captured) }, { signal, transfer: transfers(captured) });
  }

  /** Ends the worker when it has closed what frames it was given: those of an ended worker stay open. */
  free() {
    if (this.#stopped) return;
    const done = this.call("free");
    const calls = [...this.#calls.values()].slice(0, -1);
    this.#stopped = new FoveateError("closed", "this session was freed");
    for (const call of calls) call.reject(this.#stopped);
    const late = new Promise((resolve) => setTimeout(resolve, PATIENCE));
    Promise.race([done, late]).catch(() => {}).then(() => this.#end());
  }

  stop(error) {
    if (this.#stopped) return;
    this.#stopped = error;
    this.#end();
  }

  #end() {
    this.#worker.terminate();
    for (const call of this.#calls.values()) call.reject(this.#stopped);
    this.#calls.clear();
  }
}

// What crosses is the frame alone.
const posted = ({ frame }) => ({ frame });

/** A worker of that script; browsers refuse scripts of other origins, but not one that imports them. */
function spawn(url) {
  const options = { type: "module", name: "foveate" };
  if (url.origin === globalThis.location?.origin) return new Worker(new URL("./worker.js", import.meta.url), options);
  const script = new Blob([`import ${JSON.stringify(url.href)};`], { type: "text/javascript" });
  const address = URL.createObjectURL(script);
  try {
    return new Worker(address, options);
  } finally {
    // The worker has been started with it.
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  }
}

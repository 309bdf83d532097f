/** foveate in the browser: load a network, classify what a page shows. */

/** What a model is loaded from: an address, a File or Blob, its bytes, or a named network with seeded random weights. */
export type ModelSource = string | URL | Blob | ArrayBuffer | ArrayBufferView | { random: string; seed?: number };

/** What a picture may be. */
export type PictureSource =
  | HTMLVideoElement
  | HTMLImageElement
  | SVGImageElement
  | HTMLCanvasElement
  | OffscreenCanvas
  | ImageBitmap
  | VideoFrame
  | ImageData
  | Blob;

/**
 * Number format: 32-bit floats; activations and weights stored as 16-bit floats; weights of 8 bits; weights and
 * activations of 8 bits (for files that `foveate quantize` made).
 */
export type Precision = "f32" | "f16" | "w8" | "w8a8";

/** How far loading is. */
export interface Progress {
  /** `fetch` in bytes, `fuse` from 0 to 1, `compile` in pipelines (on a GPU). */
  stage: "fetch" | "fuse" | "compile";
  done: number;
  /** 0 where it is not known. */
  total: number;
}

export interface LoadOptions {
  /** What the model holds if not given. */
  precision?: Precision;
  /**
   * `auto` (the default): WebGPU on a GPU, else the CPU executor, and `session.device` says why. `webgpu`: WebGPU,
   * on a software adapter too, or an error. `cpu`: the CPU executor.
   */
  device?: "auto" | "webgpu" | "cpu";
  /**
   * Whether to compute in a worker: on a page yes, in a worker no, if not given. Without one, the CPU executor and
   * the fusing of a checkpoint block the thread.
   */
  worker?: boolean;
  onProgress?: (progress: Progress) => void;
  /** Called after the GPU was lost and had again. */
  onRecover?: (info: SessionInfo) => void;
  /** Aborts loading. */
  signal?: AbortSignal;
  /** SHA-256 of the file, in hex: a file of another is refused, and a kept copy of this one needs no network. */
  sha256?: string;
  /** Whether to keep the file in Cache Storage; yes if not given. */
  cache?: boolean;
  /** The architecture, where keys and shapes of a checkpoint cannot tell it: `"repvgg-cifar"`. */
  arch?: string;
  /** Whether to take the averaged weights that training scripts keep. */
  useEma?: boolean;
  /** Names of the classes, in order. */
  labels?: string[];
  /** Rows and columns of the network's input, if not those that it was trained with. */
  inputSize?: [height: number, width: number];
  /** Values to keep for `features`: those of all stages, or of these nodes. */
  features?: "stages" | string[];
  /** Whether to prove that fusing changed nothing, by a run on noise before and after. */
  prove?: boolean;
  /** Whether shaders keep their runtime checks. */
  safeShaders?: boolean;
}

export interface ClassifyOptions {
  /** How many classes; 5 if not given. */
  top?: number;
  signal?: AbortSignal;
}

export interface RunOptions extends ClassifyOptions {
  /** Whether to return all logits. */
  logits?: boolean;
  /** Whether to have the GPU's own time, where it has a clock. Frames are then run one at a time. */
  gpuTime?: boolean;
}

/** A class. */
export interface Top {
  /** Its number. */
  class: number;
  /** Its name, or `class N`. */
  label: string;
  /** Softmax probability, 0 to 1. */
  score: number;
}

export interface Answer {
  /** The best classes, best first. */
  top: Top[];
  /** One value per class, if asked for. */
  logits?: Float32Array;
  /** Milliseconds. */
  timing: {
    /** From the call to the answer: taking the picture, waiting for a turn, the way to the worker and back. */
    total: number;
    /** From handing the frame to the device to its answer. */
    run: number;
    /** By the GPU's own clock, if asked for and it has one. */
    gpu?: number;
  };
}

/** One value of the network. */
export interface FeatureMap {
  /** The node's name in the fused graph. */
  name: string;
  /** The stage whose output it is. */
  stage: string | null;
  /** Channels, rows, columns. */
  shape: [channels: number, height: number, width: number];
  /** Rows and columns of the input for each of its own; `null` for vectors. */
  stride: [number, number] | null;
  /** Channel by channel, row by row. */
  data: Float32Array;
}

export interface Features {
  maps: FeatureMap[];
  logits: Float32Array;
}

/** Where a session computes. */
export interface DeviceInfo {
  kind: "webgpu" | "cpu";
  backend: string;
  /** What the browser tells of the adapter, on WebGPU; it may be empty. */
  name: string;
  driver: string;
  /** Whether it is a GPU that the CPU plays: slower than the CPU executor. */
  software: boolean;
  /** Nanoseconds to a tick of the GPU's clock; `null` without one. */
  timestampPeriod: number | null;
  /** Why there. */
  reason: string;
  /** Why there is no WebGPU, where that is the reason. */
  code?: ErrorCode;
}

export interface SessionInfo {
  /** Of the package. */
  version: string;
  /** The network's name. */
  model: string;
  form: string;
  classes: number;
  labels: string[];
  /** Rows and columns. */
  inputSize: [number, number];
  parameters: number;
  /** Multiply-accumulates of a run. */
  macs: number;
  /** Bytes of the weights where it computes. */
  weightBytes: number;
  /** Dispatches of a run on WebGPU, nodes on the CPU. */
  steps: number;
  /** What it computes in. */
  precision: Precision;
  /** What is to be known about that. */
  precisionNote: string | null;
  sourceSha256: string;
  device: DeviceInfo;
  /** Milliseconds: reading and fusing; opening the device and compiling. */
  timing: { load: number; compile: number };
  /** Names of the values that it keeps. */
  features: string[];
  source: { from: "network" | "cache" | "memory" | "random"; bytes: number; url?: string; name?: string; sha256?: string };
  /** How often the GPU was lost and had again. */
  recovered: number;
}

export type ErrorCode =
  | "no-webgpu"
  | "insecure-context"
  | "no-adapter"
  | "missing-feature"
  | "limit"
  | "out-of-memory"
  | "aborted"
  | "bad-file"
  | "unknown-model"
  | "network"
  | "integrity"
  | "device-lost"
  | "not-finite"
  | "unsupported-source"
  | "invalid-argument"
  | "closed"
  | "internal";

/** Any error of this package. Its `name` is `AbortError` where the caller aborted. */
export class FoveateError extends Error {
  readonly code: ErrorCode;
  /** What to do. */
  readonly hint: string;
  constructor(code: ErrorCode, message: string, more?: { hint?: string; cause?: unknown });
}

/** The address of the network that comes with the package: CIFAR-10's ten classes, 730 KB. */
export const BUILTIN: string;

/** A network on a device, ready to classify. */
export class Session {
  private constructor();
  /** Loads a model; the built-in one if none is given. Rejects with a `FoveateError`. */
  static load(source?: ModelSource, options?: LoadOptions): Promise<Session>;
  /**
   * The best classes of a picture, best first. Calls need not wait for each other: two frames are under way at once,
   * more take their turn.
   */
  classify(source: PictureSource, options?: ClassifyOptions): Promise<Top[]>;
  /** As `classify`, with logits and times. */
  run(source: PictureSource, options?: RunOptions): Promise<Answer>;
  /** The values that `LoadOptions.features` names, for one picture. */
  features(source: PictureSource, options?: { signal?: AbortSignal }): Promise<Features>;
  readonly info: SessionInfo;
  readonly device: DeviceInfo;
  /** Bytes of the wasm heap, and how many objects were ever made on the GPU: both stand still from frame to frame. */
  memory(): Promise<{ wasm: number; gpuObjects: number }>;
  /** Gives memory and device back. Calls under way are rejected with the code `closed`. */
  free(): void;
  [Symbol.dispose](): void;
  /** The names of all networks that `{ random: name }` knows. */
  static models(): Promise<string[]>;
  /** Drops the models that are kept in Cache Storage; whether there were any. */
  static forget(): Promise<boolean>;
}

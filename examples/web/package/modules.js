// The package's WebAssembly, each part of it fetched when it is first needed: what computes on WebGPU, what computes on
// the CPU (for browsers with relaxed SIMD and for others), and what makes model files of checkpoints.
import { FoveateError } from "./errors.js";

// A function of one instruction that only browsers with relaxed SIMD know: product and sum in one.
const splat = [65, 0, 253, 15];
const RELAXED = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0,
  10, 19, 1, 17, 0, ...splat, ...splat, ...splat, 253, 133, 2, 11,
];

const relaxed = () => WebAssembly.validate(new Uint8Array(RELAXED));

const parts = {
  gpu: async () => started(await import("./gpu.js"), new URL("./gpu_bg.wasm", import.meta.url)),
  cpu: async () => {
    const wasm = relaxed() ? new URL("./cpu_relaxed_bg.wasm", import.meta.url) : new URL("./cpu_bg.wasm", import.meta.url);
    return started(await import("./cpu.js"), wasm);
  },
  import: async () => started(await import("./import.js"), new URL("./import_bg.wasm", import.meta.url)),
};

async function started(bindings, wasm) {
  const { memory } = await bindings.default({ module_or_path: wasm });
  return { ...bindings, memory };
}

/** `"gpu"`, `"cpu"` or `"import"`, ready to be used. */
export async function part(name) {
  try {
    return await parts[name]();
  } catch (error) {
    const old = error instanceof WebAssembly.CompileError;
    throw new FoveateError(old ? "missing-feature" : "network", `foveate's wasm could not be loaded: ${error.message}`, { cause: error });
  }
}

/** Reads and fuses what is no model file: `{ bytes, load }`, a model file and the milliseconds that it took. */
export async function imported(bytes, options) {
  const { convert, release } = await part("import");
  try {
    return convert(bytes, JSON.stringify(options));
  } finally {
    // Its memory was as large as the checkpoint, several times.
    release();
  }
}

/** Whether the bytes are a model file of a fused network, which needs no import. */
export function isModelFile(bytes) {
  if (bytes.length < 8) return false;
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  if (length > BigInt(bytes.length - 8)) return false;
  try {
    const { __metadata__: about } = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + Number(length))));
    return typeof about?.["foveate.format"] === "string" && about["foveate.form"] !== "train";
  } catch {
    return false;
  }
}

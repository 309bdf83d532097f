// What goes wrong, each with a code to branch on and a hint of what to do.

/** Hints by code. */
const HINTS = {
  "no-webgpu": "Use a browser with WebGPU (Chrome or Edge 113, Safari 26, Firefox 141 or later), or device: \"cpu\".",
  "insecure-context": "Serve the page over https:// or from http://localhost: browsers hide WebGPU elsewhere. device: \"cpu\" works everywhere.",
  "no-adapter": "Turn on hardware acceleration in the browser's settings and update the graphics driver, or use device: \"cpu\".",
  "missing-feature": "Update the browser.",
  limit: "Use a smaller inputSize or a smaller model, or device: \"cpu\".",
  "out-of-memory": "Close other tabs, use a smaller model or precision: \"w8\", and load the session again.",
  aborted: "The caller's signal was aborted; call again to go on.",
  "bad-file": "Check that the file is a whole checkpoint of a supported network (safetensors, .pth, .pt); where keys cannot tell the architecture, name it with arch.",
  "unknown-model": "Take a name from Session.models().",
  network: "Check the address, the connection and, for another origin, its CORS headers.",
  integrity: "The file is not the one that sha256 names: check the hash, or download it again.",
  "device-lost": "The GPU went away and could not be had again; load the session anew.",
  "not-finite": "The weights or the input hold values too large for the number format: try precision: \"f32\".",
  "unsupported-source": "Give a video, image, canvas, ImageBitmap, VideoFrame, ImageData or Blob whose pixels this page may read.",
  "invalid-argument": "See the package's README for what is allowed.",
  closed: "The session was freed; load another.",
  internal: "This is a defect of foveate or of the browser; please report it with the message.",
};

/** An error of this package. `code` says which, `hint` what to do; both are part of the API. */
export class FoveateError extends Error {
  constructor(code, message, { hint, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    // What code that aborts looks for.
    this.name = code === "aborted" ? "AbortError" : "FoveateError";
    this.code = code;
    this.hint = hint ?? HINTS[code] ?? HINTS.internal;
  }
}

/** Any error as one of ours. */
export function typed(error, code = "internal") {
  if (error instanceof FoveateError) return error;
  if (error instanceof WebAssembly.RuntimeError || error instanceof RangeError) {
    const short = /memory|allocat|grow/i.test(error.message);
    return new FoveateError(short ? "out-of-memory" : code, `foveate stopped: ${error.message}`, { cause: error });
  }
  const known = typeof error?.code === "string" && error.code in HINTS ? error.code : code;
  return new FoveateError(known, error?.message ?? String(error), { cause: error });
}

/** What crosses from one thread to another. */
export const packed = (error) => ({ code: error.code, message: error.message, hint: error.hint });
export const unpacked = ({ code, message, hint }) => new FoveateError(code, message, { hint });

export const aborted = (signal) => {
  const reason = signal?.reason;
  const why = reason instanceof Error && reason.name !== "AbortError" ? `: ${reason.message}` : "";
  return new FoveateError("aborted", `aborted${why}`, { cause: reason });
};

/** Throws if the caller has aborted. */
export const check = (signal) => {
  if (signal?.aborted) throw aborted(signal);
};

// Pictures from wherever a page has them, as what can be posted to a worker and copied to a GPU.
import { FoveateError } from "./errors.js";

// Colours as the file has them, which is what native programs see.
const AS_IT_IS = { premultiplyAlpha: "none", colorSpaceConversion: "none" };

const is = (name, value) => typeof globalThis[name] === "function" && value instanceof globalThis[name];

/**
 * A frame: an ImageBitmap, a VideoFrame, or `{ width, height, data }` in RGBA. `mine` says whether it was made here
 * and is to be closed; `copies` asks for a frame that outlives the source.
 */
export async function capture(source, copies) {
  try {
    return await frameOf(source, copies);
  } catch (error) {
    if (error instanceof FoveateError) throw error;
    const why = error.name === "SecurityError" ? "it comes from another origin without CORS (set crossorigin on the element)" : error.message;
    throw new FoveateError("unsupported-source", `the picture cannot be read: ${why}`, { cause: error });
  }
}

async function frameOf(source, copies) {
  if (is("VideoFrame", source)) return { frame: copies ? source.clone() : source, mine: copies };
  if (is("ImageBitmap", source)) {
    return copies ? { frame: await createImageBitmap(source, AS_IT_IS), mine: true } : { frame: source, mine: false };
  }
  if (is("ImageData", source)) return { frame: source, mine: false };
  if (is("HTMLVideoElement", source)) {
    if (source.readyState < 2) {
      throw new FoveateError("unsupported-source", "the video has no frame yet", { hint: "Wait for its loadeddata event." });
    }
    const frame = globalThis.VideoFrame ? new VideoFrame(source) : await createImageBitmap(source);
    return { frame, mine: true };
  }
  if (is("HTMLImageElement", source) && !source.complete) await source.decode();
  const known = ["HTMLImageElement", "HTMLCanvasElement", "OffscreenCanvas", "Blob", "SVGImageElement"];
  if (!known.some((name) => is(name, source))) {
    const what = source === null ? "null" : (source?.constructor?.name ?? typeof source);
    throw new FoveateError("unsupported-source", `${what} is no picture`);
  }
  return { frame: await createImageBitmap(source, AS_IT_IS), mine: true };
}

/** What of a frame is handed over to another thread, not copied. */
export const transfers = ({ frame, mine }) => (mine && typeof frame.close === "function" ? [frame] : []);

export const release = ({ frame, mine }) => {
  if (mine) frame.close?.();
};

let canvas;

/** A frame's pixels, RGBA: for the CPU executor, and for what is larger than a GPU's textures. */
export function pixels(frame) {
  if (frame.data) return frame;
  const [width, height] = [frame.displayWidth ?? frame.width, frame.displayHeight ?? frame.height];
  canvas ??= new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  if (!canvas) throw new FoveateError("missing-feature", "this browser has no OffscreenCanvas with a 2d context");
  if (canvas.canvas.width !== width || canvas.canvas.height !== height) {
    [canvas.canvas.width, canvas.canvas.height] = [width, height];
  } else {
    canvas.clearRect(0, 0, width, height);
  }
  canvas.drawImage(frame, 0, 0, width, height);
  return canvas.getImageData(0, 0, width, height);
}

export const sizeOf = (frame) => [frame.displayWidth ?? frame.width, frame.displayHeight ?? frame.height];

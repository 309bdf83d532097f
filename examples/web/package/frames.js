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
    throw unreadable(error);
  }
}

/** The error for a picture that cannot be captured, handed over, or looked at. */
export function unreadable(error) {
  if (error instanceof FoveateError) return error;
  const foreign = error.name === "SecurityError" || /origin-clean/i.test(error.message);
  const why = foreign ? "it comes from another origin without CORS (set crossorigin on the element)" : error.message;
  return new FoveateError("unsupported-source", `the picture cannot be read: ${why}`, { cause: error });
}

/**
 * Does some work in which the browser copies a frame to the GPU before it returns: `{ answer, refused }`. What browsers
 * refuse to copy, as Chromium does canvases of 16-bit floats, would be a trap in the engine; here nothing is copied then.
 */
export function copying(work) {
  const [queue, name] = [GPUQueue.prototype, "copyExternalImageToTexture"];
  const copy = queue[name];
  let refused = false;
  queue[name] = function (...given) {
    try {
      copy.apply(this, given);
    } catch {
      refused = true;
    }
  };
  try {
    const answer = work();
    return { answer, refused };
  } finally {
    queue[name] = copy;
  }
}

async function frameOf(source, copies) {
  if (is("VideoFrame", source)) return { frame: copies ? source.clone() : source, mine: copies };
  if (is("ImageBitmap", source)) {
    return copies ? { frame: await createImageBitmap(source, AS_IT_IS), mine: true } : { frame: source, mine: false };
  }
  if (is("ImageData", source) && plain(source)) {
    const { width, height, data } = source;
    // A copy's memory is handed over; the browser would copy its own way, which takes twice as long.
    return copies ? { frame: { width, height, data: data.slice() }, mine: true } : { frame: source, mine: false };
  }
  if (is("HTMLVideoElement", source)) {
    if (source.readyState < 2) {
      throw new FoveateError("unsupported-source", "the video has no frame yet", { hint: "Wait for its loadeddata event." });
    }
    const frame = globalThis.VideoFrame ? new VideoFrame(source) : await createImageBitmap(source);
    return { frame, mine: true };
  }
  if (is("HTMLImageElement", source) && !source.complete) await source.decode();
  const known = ["HTMLImageElement", "HTMLCanvasElement", "OffscreenCanvas", "Blob", "SVGImageElement", "ImageData"];
  if (!known.some((name) => is(name, source))) {
    const what = source === null ? "null" : (source?.constructor?.name ?? typeof source);
    throw new FoveateError("unsupported-source", `${what} is no picture`);
  }
  return { frame: await createImageBitmap(source, is("ImageData", source) ? {} : AS_IT_IS), mine: true };
}

/** Whether an ImageData has bytes in sRGB, as the executors take them; what has not is converted by the browser. */
const plain = ({ data, colorSpace = "srgb" }) => data instanceof Uint8ClampedArray && colorSpace === "srgb";

/** What of a frame is handed over to another thread, not copied. */
export const transfers = ({ frame, mine }) => (mine ? [frame.data?.buffer ?? frame] : []);

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
  try {
    canvas.drawImage(frame, 0, 0, width, height);
    return canvas.getImageData(0, 0, width, height);
  } catch (error) {
    // What taints a canvas does so for good.
    canvas = undefined;
    throw unreadable(error);
  }
}

export const sizeOf = (frame) => [frame.displayWidth ?? frame.width, frame.displayHeight ?? frame.height];

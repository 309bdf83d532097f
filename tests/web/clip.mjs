// A camera that films one picture: the raw video that Chromium's fake camera plays.
import { writeFile } from "node:fs/promises";
import { open } from "./browser.mjs";

/** Writes a clip of the picture at `path` of the server, some frames long, to `file`; its sides are even. */
export async function clip(browser, origin, { path, width, height, file }) {
  const opened = await open(browser, origin);
  try {
    const rgba = await opened.page.evaluate(async ([path, width, height]) => {
      const image = new Image();
      image.src = path;
      await image.decode();
      const context = new OffscreenCanvas(width, height).getContext("2d");
      context.drawImage(image, 0, 0, width, height);
      return Array.from(context.getImageData(0, 0, width, height).data);
    }, [path, width, height]);
    const planes = [Buffer.alloc(width * height), Buffer.alloc(width * height / 4), Buffer.alloc(width * height / 4)];
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const at = (y * width + x) * 4;
        const [r, g, b] = rgba.slice(at, at + 3);
        planes[0][y * width + x] = 16 + 0.257 * r + 0.504 * g + 0.098 * b;
        const small = (y >> 1) * (width / 2) + (x >> 1);
        planes[1][small] = 128 - 0.148 * r - 0.291 * g + 0.439 * b;
        planes[2][small] = 128 + 0.439 * r - 0.368 * g - 0.071 * b;
      }
    }
    const frame = [Buffer.from("FRAME\n"), ...planes];
    const header = Buffer.from(`YUV4MPEG2 W${width} H${height} F15:1 Ip A1:1 C420\n`);
    await writeFile(file, Buffer.concat([header, ...frame, ...frame, ...frame]));
  } finally {
    await opened.close();
  }
}

/** The arguments with which Chromium has that camera, allowed. */
export const camera = (file) => [
  "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", `--use-file-for-fake-video-capture=${file}`,
];

// A page's own worker that uses the package.
import { Session } from "/pkg/index.js";

self.onmessage = async ({ data: path }) => {
  try {
    const session = await Session.load(undefined, { device: "webgpu" });
    const bitmap = await createImageBitmap(await (await fetch(path)).blob());
    const top = await session.classify(bitmap);
    postMessage({ classes: top.map((entry) => entry.class), device: session.device });
  } catch (error) {
    postMessage({ error: String(error) });
  }
};

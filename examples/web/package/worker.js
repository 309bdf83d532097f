// A session in a worker: calls come as messages, and answers go back under the same number.
import { packed, typed } from "./errors.js";
import { release } from "./frames.js";
import { Host, names } from "./host.js";

let host;
const signals = new Map();

const calls = {
  async load({ source, options }, signal, id) {
    const onProgress = (stage, done, total) => postMessage({ id, progress: [stage, done, total] });
    host = await Host.load(source, options, { onProgress, signal });
    return host.info();
  },
  run: ({ captured, options }, signal) => used(captured, () => host.run(captured.frame, options, signal)),
  features: ({ captured }, signal) => used(captured, () => host.features(captured.frame, signal)),
  info: () => host.info(),
  memory: () => host.memory(),
  names: () => names(),
  // Frames that were handed over are closed by their calls, all of which have ended by then: those before this one
  // took their turns before it.
  free: () => host.free(),
};

// What was handed over belongs to this thread now.
const used = async (captured, work) => {
  try {
    return { ...(await work()), recovered: host.recovered };
  } finally {
    release({ ...captured, mine: true });
  }
};

self.onmessage = async ({ data: { id, call, abort, ...rest } }) => {
  if (abort) {
    signals.get(id)?.abort();
    return;
  }
  const controller = new AbortController();
  signals.set(id, controller);
  try {
    const value = await calls[call](rest, controller.signal, id);
    postMessage({ id, value }, buffers(value));
  } catch (error) {
    postMessage({ id, error: packed(typed(error)) });
  } finally {
    signals.delete(id);
  }
};

const buffers = (value) => [value?.logits, ...(value?.maps ?? []).map((map) => map.data)].filter(Boolean).map((data) => data.buffer);

postMessage({ ready: true, gpu: Boolean(navigator.gpu) });

// "Benchmark this machine": times networks one after the other and hands out a record of it.
import { element, made } from "./elements.js";
import { load } from "./model.js";
import { show as showProblem } from "./problem.js";
import { record, result } from "./record.js";
import { quantile, sort } from "./stats.js";

/** Frames of the size that cameras give. */
const PROTOCOL = { warm_ups: 3, runs: 30, seconds: 1, frame: [640, 480] };

/** Frames of noise, each another, so that nothing can be remembered. */
const frames = () =>
  Promise.all([1, 2, 3, 4].map((seed) => {
    const [width, height] = PROTOCOL.frame;
    const data = new ImageData(width, height);
    const words = new Uint32Array(data.data.buffer);
    let state = seed * 0x9e3779b9;
    for (let at = 0; at < words.length; at++) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      words[at] = state | 0xff000000;
    }
    return createImageBitmap(data);
  }));

/** Milliseconds between ticks of the browser's clock, which browsers make coarse. */
function tick() {
  let least = Infinity;
  for (let count = 0; count < 20; count++) {
    const from = performance.now();
    let now = from;
    while (now === from) now = performance.now();
    least = Math.min(least, now - from);
  }
  return least;
}

/** One network by its choice. Stopped half-way, it gives what there is, with why. */
async function measure(choice, pictures, signal, onProgress) {
  const session = await load(choice, { signal, onProgress: ({ stage }) => onProgress(0, stage) });
  const times = { gpu: [], run: [], total: [] };
  try {
    let at = 0;
    const once = async (gpuTime = false) => {
      const { timing } = await session.run(pictures[at++ % pictures.length], { top: 5, gpuTime, signal });
      return timing;
    };
    times.first = (await once()).total;
    for (let count = 0; count < PROTOCOL.warm_ups; count++) await once();
    const began = performance.now();
    const seconds = () => (performance.now() - began) / 1000;
    while (times.total.length < PROTOCOL.runs || seconds() < PROTOCOL.seconds) {
      const { run, total } = await once();
      times.run.push(run);
      times.total.push(total);
      onProgress(Math.min(times.total.length / PROTOCOL.runs, seconds() / PROTOCOL.seconds, 1));
    }
    // The GPU's own clock in runs of its own: reading it is a detour that the other clocks would see.
    for (let count = 0; session.device.kind === "webgpu" && count < times.total.length; count++) {
      const { gpu } = await once(true);
      if (gpu === undefined) break;
      times.gpu.push(gpu);
    }
    // A clock that stands still is none.
    if (Math.max(...times.gpu) === 0) times.gpu = [];
  } catch (error) {
    if (!times.total.length) throw error;
    times.error = error.name === "AbortError" ? "stopped" : error.message;
  } finally {
    session.free();
  }
  return { info: session.info, times };
}

/** All subjects, as a record. Those that fail are in it, too. */
export async function benchmark(choices, { signal, onProgress }) {
  const pictures = await frames();
  let made, hidden = document.hidden;
  const watch = () => (hidden ||= document.hidden);
  document.addEventListener("visibilitychange", watch);
  const failures = [];
  const results = [];
  try {
    for (const [at, choice] of choices.entries()) {
      const tell = (part, stage) => onProgress((at + part) / choices.length, choice, stage);
      tell(0);
      try {
        const { info, times } = await measure(choice, pictures, signal, tell);
        made ??= await record(info.version, PROTOCOL);
        results.push(result(info, times));
        if (times.error) failures.push(new Error(times.error));
      } catch (error) {
        failures.push(error);
      }
      if (signal.aborted) break;
    }
  } finally {
    document.removeEventListener("visibilitychange", watch);
    pictures.forEach((picture) => picture.close());
  }
  if (!made) throw failures[0];
  const failed = failures.filter(({ name }) => name !== "AbortError").map(({ message }) => message);
  const note = [`measured by the web page, whose clock ticks every ${+tick().toPrecision(2)} ms`, hidden && "the page was hidden for a time", ...failed].filter(Boolean).join("; ");
  return { ...made, complete: failures.length === 0, note, results };
}

const stamp = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 19).replace(/[:T]/g, "-");
let address;

function download(made) {
  if (address) URL.revokeObjectURL(address);
  address = URL.createObjectURL(new Blob([`${JSON.stringify(made)}\n`], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = `foveate-benchmark-${stamp(made.started)}.json`;
  link.textContent = link.download;
  link.click();
  return link;
}

/** What was measured, in short, and the file once more. */
function summarise(record) {
  const link = download(record);
  const list = made("ul", "", "small");
  for (const { model, precision, device, clocks } of record.results) {
    const ms = quantile(sort(clocks.end_to_end.us), 0.5) / 1000;
    list.append(made("li", `${model} in ${precision} on ${device.kind === "gpu" ? "WebGPU" : "the CPU"}: ${ms.toFixed(2)} ms end to end, median of ${clocks.end_to_end.us.length}`));
  }
  const said = made("p", record.complete ? "Downloaded " : "Not complete; downloaded what there is: ");
  said.append(link, ".");
  element["benchmark-done"].replaceChildren(said, list);
}

/** Wires the button. `choice()` is what the page runs; `release` and `resume` make room for the benchmark. */
export function onBenchmark({ choice, release, resume }) {
  const [start, stop] = [element.benchmark, element["benchmark-stop"]];
  let controller;
  const busy = (on) => {
    start.disabled = on;
    stop.hidden = element["benchmark-progress"].hidden = !on;
  };
  const tell = (part, { model }, stage) => {
    element["benchmark-bar"].value = part;
    const name = model === "builtin" ? "the built-in network" : model === "file" ? "the file's network" : model;
    element["benchmark-what"].textContent = `${stage ? "Loading" : "Timing"} ${name}`;
  };
  stop.addEventListener("click", () => controller?.abort());
  start.addEventListener("click", async () => {
    const present = choice();
    const wanted = Array.from(element.subjects.querySelectorAll("input:checked"), ({ value }) => (value ? { ...present, model: value } : present));
    const subjects = wanted.filter(({ model }, at) => wanted.findIndex((other) => other.model === model) === at);
    if (!subjects.length) {
      element["benchmark-done"].replaceChildren(made("p", "Choose a network first."));
      return;
    }
    controller = new AbortController();
    busy(true);
    stop.focus();
    element["benchmark-done"].replaceChildren();
    await release();
    try {
      summarise(await benchmark(subjects, { signal: controller.signal, onProgress: tell }));
    } catch (error) {
      showProblem(error);
    } finally {
      busy(false);
      start.focus();
      resume();
    }
  });
}

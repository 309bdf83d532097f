// A benchmark's record, as `foveate bench` writes it and `foveate report` reads it: kind `foveate-benchmark`,
// version 2, described in assets/benchmarks/README.md.
import { called } from "./facts.js";
import { summary } from "./stats.js";

const KIND = "foveate-benchmark";
const SCHEMA_VERSION = 2;

/** A record without results. `protocol` is `{ warm_ups, runs, seconds, frame }`. */
export async function record(version, protocol) {
  return {
    kind: KIND,
    schema_version: SCHEMA_VERSION,
    foveate: version,
    git: null,
    started: Math.floor(Date.now() / 1000),
    complete: true,
    machine: await machine(),
    protocol: { mode: "latency", ...protocol },
    results: [],
  };
}

/** What browsers tell of the machine. */
async function machine() {
  const agent = navigator.userAgentData;
  const told = await agent?.getHighEntropyValues?.(["architecture", "bitness", "platformVersion"]).catch(() => undefined);
  const battery = await navigator.getBattery?.().catch(() => undefined);
  const platform = agent?.platform || /\(([^)]*)\)/.exec(navigator.userAgent)?.[1] || "unknown";
  return {
    os: [platform, told?.platformVersion].filter(Boolean).join(" "),
    arch: "wasm32",
    cpu: told?.architecture ? `${told.architecture}, ${told.bitness} bits (browsers tell no more)` : "not told by the browser",
    threads: navigator.hardwareConcurrency ?? 1,
    power: battery ? (battery.charging ? "mains" : "battery") : null,
    browser: navigator.userAgent,
  };
}

/** One result. `times` holds milliseconds of every run by three clocks. */
export function result(info, { first, gpu, run, total, error }) {
  const { device, source, timing } = info;
  const webgpu = device.kind === "webgpu";
  return {
    model: info.model,
    weights: weights(source),
    precision: info.precision,
    ...(info.precisionNote ? { note: info.precisionNote } : {}),
    batch: 1,
    device: {
      kind: webgpu ? "gpu" : "cpu",
      name: called(device),
      backend: webgpu ? "webgpu" : "none",
      driver: device.driver || `foveate ${info.version}`,
      software: device.software,
      safe_shaders: false,
      timestamp_ns: gpu.length ? device.timestampPeriod : null,
      tuning: "untuned",
    },
    macs: info.macs,
    weight_bytes: info.weightBytes,
    steps: info.steps,
    load_ms: timing.load,
    compile_ms: timing.compile,
    first_ms: first,
    clocks: { gpu: samples(gpu), submit_to_readback: samples(run), end_to_end: samples(total) },
    runs_per_second: null,
    error: error ?? null,
  };
}

const weights = ({ from, name, url, sha256 }) => {
  if (from === "random") return "random, seed 0";
  const file = name ?? url?.split("/").at(-1) ?? "a file";
  return sha256 ? `${file}, SHA-256 ${sha256}` : file;
};

/** Times as records have them, or null if there are none. */
function samples(ms) {
  if (!ms.length) return null;
  const us = ms.map((value) => value * 1000);
  return { summary: summary(us), us };
}

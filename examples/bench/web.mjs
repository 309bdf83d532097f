// Times foveate's browser package and onnxruntime-web in turn, in one Chromium, on the same fused networks.
//
//     bash examples/web/build.sh
//     python -m venv /tmp/peers && /tmp/peers/bin/pip install onnx numpy
//     PYTHON=/tmp/peers/bin/python node examples/bench/web.mjs
//     node examples/bench/web.mjs --devices webgpu --networks mobileone-s0 --rounds 3
//
// | option | what it does |
// |---|---|
// | `--networks a,b` | names; MobileOne-S0, RepVGG-A0, RepNeXt-M0 if not given. `foveate` fuses them, with seeded random weights |
// | `--precision f32` or `w8a8` | 8 bits on both sides: foveate's, and the ONNX network as onnxruntime's own tools quantise it (`pip install onnxruntime`); ranges are those of noise |
// | `--devices wasm,webgpu` | both if not given; one thread each; WebGPU is SwiftShader's unless `--adapter default` |
// | `--rounds N`, `--runs N` | rounds of both sides in turn (5), and runs of each in a round (2) |
// | `--thread worker` or `page` | where both sides compute on the CPU: in a worker, which leaves the page free and is what foveate does if not told otherwise (onnxruntime-web: `env.wasm.proxy`), or on the page's own thread, which is what onnxruntime-web does if not told otherwise. On WebGPU the other has only the page |
// | `--limit SECONDS` | how long one side may take to its first result (120); who takes longer is not waited for |
// | `--folder DIR` | for networks and npm packages, kept for the next time; `target/web/peers` if not given |
// | `--json FILE` | all times, beside the table |
//
// Both sides get the same pixels: foveate as a picture that it crops and normalises, the other already as a tensor.
// A first result is from the import of the package to the first answer, model and compiling included. The table has
// medians, their ratios (below 1: foveate is faster), and, for f32, how far outputs are apart, of the largest value.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, openSync, readSync, closeSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const PEER = "onnxruntime-web@1.30.0";
const DRIVER = "playwright-core@1.65.1";

const text = { type: "string" };
const { values: asked } = parseArgs({
  options: {
    networks: { ...text, default: "mobileone-s0,repvgg-a0,repnext-m0" },
    precision: { ...text, default: "f32" },
    devices: { ...text, default: "wasm,webgpu" },
    rounds: { ...text, default: "5" },
    runs: { ...text, default: "2" },
    thread: { ...text, default: "worker" },
    limit: { ...text, default: "120" },
    folder: { ...text, default: join(ROOT, "target/web/peers") },
    adapter: { ...text, default: "swiftshader" },
    package: { ...text, default: join(ROOT, "examples/web/pkg") },
    json: text,
  },
});
const tell = (line) => process.stderr.write(`${line}\n`);
const fail = (line) => {
  tell(line);
  process.exit(1);
};

if (!["worker", "page"].includes(asked.thread)) fail(`--thread is worker or page, not ${asked.thread}`);
if (!["f32", "w8a8"].includes(asked.precision)) fail(`--precision is f32 or w8a8, not ${asked.precision}`);
const [networks, devices] = [asked.networks.split(","), asked.devices.split(",")];
/** What a network's files are called, less the ending. */
const stem = (name, precision = asked.precision) => join(folder, precision === "f32" ? name : `${name}-${precision}`);
const [rounds, runs, limit] = [asked.rounds, asked.runs, asked.limit].map(whole);
const folder = resolve(asked.folder);
process.chdir(ROOT);

function whole(value) {
  if (!/^[1-9]\d*$/.test(value)) fail(`${value} is no number of rounds, runs or seconds`);
  return Number(value);
}

function run(command, args, hint) {
  const { status, error } = spawnSync(command, args, { stdio: ["ignore", 2, 2] });
  if (error || status !== 0) fail(`${command} ${args.join(" ")} failed; ${hint}`);
}

/** What onnxruntime-web and Chromium are driven with, from npm. */
function install() {
  const here = (name) => existsSync(join(folder, "node_modules", name.split("@")[0], "package.json"));
  const missing = [PEER, DRIVER].filter((name) => !here(name));
  if (missing.length > 0) run("npm", ["install", "--silent", "--no-fund", "--no-audit", "--prefix", folder, ...missing], "is npm here?");
}

/** Each network as a model file, and as ONNX with the same weights. */
function write() {
  mkdirSync(folder, { recursive: true });
  const python = (...args) => run(process.env.PYTHON ?? "python3", args, "PYTHON names one with onnx, numpy and, for w8a8, onnxruntime");
  for (const precision of new Set(["f32", asked.precision])) {
    const missing = networks.filter((name) => !existsSync(`${stem(name, precision)}.safetensors`));
    if (missing.length > 0) {
      const saving = ["--save", folder, "--precision", precision, ...missing];
      run("cargo", ["run", "--release", "--locked", "--example", "times", "--", ...saving], "is Rust here?");
    }
    for (const name of networks) {
      const onnx = `${stem(name, precision)}.onnx`;
      if (existsSync(onnx)) continue;
      if (precision === "f32") python("examples/bench/make_onnx.py", `${stem(name, precision)}.safetensors`, onnx);
      else python("examples/bench/make_onnx_int8.py", `${stem(name, "f32")}.onnx`, onnx);
    }
  }
}

/** How a model file wants pictures prepared. */
function preprocess(name) {
  const file = openSync(`${stem(name)}.safetensors`);
  try {
    const length = Buffer.alloc(8);
    readSync(file, length, 0, 8, 0);
    const header = Buffer.alloc(Number(length.readBigUInt64LE()));
    readSync(file, header, 0, header.length, 8);
    return JSON.parse(JSON.parse(header)["__metadata__"]["foveate.preprocess"]);
  } finally {
    closeSync(file);
  }
}

/** Both sides in one page; runs there. Times in milliseconds. */
async function both({ file, precision, device, rounds, runs, limit, worker, spec }) {
  const side = spec.resize.shorter;
  // What resizing leaves as it is.
  const image = new ImageData(side, side);
  for (let at = 0; at < image.data.length; at++) {
    image.data[at] = at % 4 === 3 ? 255 : 127 + 80 * Math.sin(at / 61) + 40 * Math.cos(at / 7919);
  }
  const [height, width] = spec.crop;
  const tensor = new Float32Array(3 * height * width);
  const [top, left] = [(side - height) >> 1, (side - width) >> 1];
  for (let at = 0; at < tensor.length; at++) {
    const [c, y, x] = [Math.floor(at / (height * width)), Math.floor(at / width) % height, at % width];
    tensor[at] = (image.data[((y + top) * side + x + left) * 4 + c] / 255 - spec.mean[c]) / spec.std[c];
  }

  const foveate = async () => {
    const { Session } = await import("/pkg/index.js");
    const session = await Session.load(`/nets/${file}.safetensors`, { device: device === "wasm" ? "cpu" : "webgpu", cache: false, worker });
    return { run: async () => (await session.run(image, { logits: true })).logits };
  };
  const peer = async () => {
    const ort = await import(device === "wasm" ? "/ort/ort.wasm.bundle.min.mjs" : "/ort/ort.webgpu.bundle.min.mjs");
    Object.assign(ort.env.wasm, { numThreads: 1, wasmPaths: "/ort/", proxy: worker && device === "wasm" });
    const session = await ort.InferenceSession.create(`/nets/${file}.onnx`, { executionProviders: [device] });
    let feeds;
    // Its worker takes an input's memory: each run has a tensor of its own, made while the clock stands.
    const prepare = () => {
      feeds = { [session.inputNames[0]]: new ort.Tensor("float32", tensor.slice(), [1, 3, height, width]) };
    };
    prepare();
    return { prepare, run: async () => (await session.run(feeds))[session.outputNames[0]].data };
  };

  // Whoever asks first would wait for the browser's GPU process.
  if (device === "webgpu") (await (await navigator.gpu.requestAdapter()).requestDevice()).destroy();
  const sides = { foveate: { open: foveate, times: [] }, peer: { open: peer, times: [] } };
  for (const side of Object.values(sides)) {
    const start = performance.now();
    let timer;
    const late = new Promise((resolve) => { timer = setTimeout(() => resolve(undefined), limit * 1000); });
    const first = async () => {
      Object.assign(side, await side.open());
      return side.run();
    };
    side.output = await Promise.race([first(), late]);
    clearTimeout(timer);
    // The first stays open for the second to see, but has ended: both are measured alone.
    if (!side.output) break;
    side.first = performance.now() - start;
  }
  const [ours, theirs] = [sides.foveate.output, sides.peer.output];
  let apart;
  // In 8 bits each side has a quantiser of its own, and networks with random weights amplify the difference.
  if (ours && theirs && precision === "f32") {
    const largest = theirs.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    apart = ours.reduce((most, value, at) => Math.max(most, Math.abs(value - theirs[at])), 0) / largest;
    if (ours.length !== theirs.length || !(apart >= 0)) throw new Error(`outputs of ${ours.length} and ${theirs.length} values, ${apart} apart`);
  }
  for (let round = 0; round < rounds; round++) {
    for (const side of Object.values(sides)) {
      for (let at = 0; side.output && at < runs; at++) {
        side.prepare?.();
        const start = performance.now();
        await side.run();
        side.times.push(performance.now() - start);
      }
    }
  }
  const told = ({ first, times }) => ({ first, times });
  return { apart, foveate: told(sides.foveate), peer: told(sides.peer) };
}

const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
};
const ms = (value) => (value === undefined || Number.isNaN(value) ? "–" : value < 100 ? value.toFixed(1) : value.toFixed(0));

/** A line of the table. Of who had no result in time, only the limit is known. */
function row({ name, device, apart, foveate, peer }) {
  const over = peer.first === undefined;
  const part = (a, b) => (a === undefined || Number.isNaN(a) ? "–" : (a / b).toFixed(2));
  const [ours, theirs] = [median(foveate.times), median(peer.times)];
  return [
    name, device, ms(foveate.first), over ? `> ${limit * 1000}` : ms(peer.first),
    over ? `< ${part(foveate.first, limit * 1000)}` : part(foveate.first, peer.first),
    ms(ours), ms(theirs), over ? "–" : part(ours, theirs), apart === undefined ? "–" : apart.toExponential(0),
  ];
}

const HEAD = ["network", "on", "first, ms", "peer's first, ms", "ratio", "run, ms", "peer's run, ms", "ratio", "outputs apart"];

install();
write();
if (!existsSync(join(asked.package, "cpu_bg.wasm"))) fail(`there is no package in ${asked.package}: bash examples/web/build.sh`);
const which = (name) => spawnSync("which", [name], { encoding: "utf8" }).stdout?.trim();
process.env.WEB_NODE ??= folder;
process.env.CHROMIUM ??= ["chromium", "chromium-browser", "google-chrome"].map(which).find(Boolean) ?? fail("install Chromium, or set CHROMIUM");
const { launch, open } = await import("../../tests/web/browser.mjs");
const { serve } = await import("../../tests/web/server.mjs");
const server = await serve({ "/pkg/": asked.package, "/ort/": join(folder, "node_modules/onnxruntime-web/dist"), "/nets/": folder });

const results = [];
try {
  for (const device of devices) {
    for (const name of networks) {
      tell(`${name}, ${asked.precision}, on ${device}`);
      // A browser of its own: what one that is not waited for leaves running ends with it.
      const browser = await launch({ adapter: asked.adapter });
      try {
        const { page } = await open(browser, server.origin);
        page.setDefaultTimeout(0);
        const found = await page.evaluate(both, { file: basename(stem(name)), precision: asked.precision, device, rounds, runs, limit, worker: asked.thread === "worker", spec: preprocess(name) });
        results.push({ name, device, ...found });
        tell(`  ${row(results.at(-1)).slice(2).join("  ")}`);
      } finally {
        await browser.close();
      }
    }
  }
} finally {
  server.close();
}
const version = spawnSync(process.env.CHROMIUM, ["--version"], { encoding: "utf8" }).stdout?.trim();
console.log(`\n${version}, ${PEER}, ${asked.precision}, one thread, WebGPU on ${asked.adapter}, medians of ${rounds * runs}\n`);
console.log(`| ${HEAD.join(" | ")} |\n|${HEAD.map(() => "---").join("|")}|`);
for (const result of results) console.log(`| ${row(result).join(" | ")} |`);
if (asked.json) writeFileSync(asked.json, `${JSON.stringify({ version, peer: PEER, precision: asked.precision, adapter: asked.adapter, results }, null, 1)}\n`);

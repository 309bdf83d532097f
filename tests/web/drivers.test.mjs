// The table of drivers: every family in every number format, on the software drivers of this machine and in Chromium, there
// on the CPU too, against the native CPU executor. `node --test` prints it.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile, readdir, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { launch, older, open } from "./browser.mjs";
import { serve } from "./server.mjs";

const folder = join(process.env.WEB_MADE, "drivers");
/** Of the largest logit. Integers are the same, bit for bit. */
const BOUNDS = { f32: 1e-4, w8: 1e-4 };

// SwiftShader lies beside Chromium; the loader finds Mesa's drivers by itself.
const ICD = "vk_swiftshader_icd.json";
const swiftshader = [dirname(process.env.CHROMIUM), "/usr/lib/chromium", "/usr/lib/chromium-browser", "/opt/google/chrome"]
  .map((place) => join(place, ICD)).find(existsSync);
const NATIVE = {
  "lavapipe (Vulkan)": { device: "llvmpipe", backend: "vulkan" },
  "llvmpipe (GL)": { device: "llvmpipe", backend: "gl" },
  ...swiftshader && { "SwiftShader (Vulkan)": { device: "swiftshader", backend: "vulkan", env: { VK_DRIVER_FILES: swiftshader } } },
};
/** What a session in Chromium computes on, and how its page begins. */
const CHROMIUM = {
  "Chromium (WebGPU)": { device: "webgpu" },
  "Chromium (CPU)": { device: "cpu" },
  "Chromium before 2023": { device: "cpu", init: older },
};

const table = [];
let server, browser;

before(async () => {
  server = await serve({ "/pkg/": process.env.WEB_PKG, "/tests/": "tests", "/made/": folder });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  server?.close();
});

const run = async ([model, precision, device, pictures]) => {
  const { Session } = await import("/pkg/index.js");
  const session = await Session.load(model, { precision, device, cache: false, worker: false });
  const logits = [];
  for (const path of pictures) {
    const blob = await (await fetch(path)).blob();
    logits.push(Array.from((await session.run(blob, { logits: true })).logits));
  }
  const { info } = session;
  session.free();
  return { logits, info };
};

const best = (logits) => logits.indexOf(Math.max(...logits));

/** What is wanted: the CPU's answers of every model in every number format, by the files that tests/web.sh made. */
async function wanted() {
  const files = (await readdir(folder)).filter((name) => name.endsWith(".jsonl")).sort();
  assert.ok(files.length >= 12, `${files.length} files`);
  return Promise.all(files.map(async (file) => {
    const [model, precision] = basename(file, ".jsonl").split(".");
    const lines = (await readFile(join(folder, file), "utf8")).trim().split("\n").map((line) => JSON.parse(line));
    return { model, precision, pictures: lines.map(({ image }) => image), logits: lines.map(({ logits }) => logits) };
  }));
}

/** Holds a driver's logits to the CPU's. */
function compare(driver, { model, precision, logits: wanted }, found) {
  assert.equal(found.length, wanted.length);
  const exact = found.map((logits, at) => logits.every((value, i) => Math.fround(value) === Math.fround(wanted[at][i])));
  const apart = found.map((logits, at) => {
    assert.equal(logits.length, wanted[at].length);
    const largest = Math.max(...wanted[at].map(Math.abs));
    return Math.max(...logits.map((value, i) => Math.abs(value - wanted[at][i]))) / largest;
  });
  const network = model.replace(/-w8a8$/, "");
  const row = { driver, network, precision, max_rel: Math.max(...apart), bit_exact: exact.every(Boolean) };
  table.push(row);
  const what = JSON.stringify(row);
  assert.ok(found.every((logits, at) => best(logits) === best(wanted[at])), what);
  if (precision === "w8a8") assert.ok(row.bit_exact, what);
  else assert.ok(row.max_rel <= BOUNDS[precision], what);
}

/** What the native program says, and what it says of the device. */
function classify({ model, precision, pictures }, { device, backend, env }) {
  const file = join(folder, `${model}.safetensors`);
  const options = ["--model", file, "--precision", precision, "--device", device, "--backend", backend, "--json", "--logits"];
  const child = spawn(process.env.WEB_FOVEATE, ["classify", ...pictures, ...options], { env: { ...process.env, ...env } });
  let [out, told] = ["", ""];
  child.stdout.on("data", (part) => (out += part));
  child.stderr.on("data", (part) => (told += part));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => (code === 0 ? resolve({ out, told }) : reject(new Error(`${model}: ${code}: ${told}`))));
  });
}

for (const [driver, options] of Object.entries(NATIVE)) {
  test(`${driver} agrees with the CPU: networks and number formats`, async () => {
    for (const one of await wanted()) {
      const { out, told } = await classify(one, options);
      const answers = out.trim().split("\n").map((line) => JSON.parse(line));
      for (const { device, precision } of answers) {
        assert.equal(device.kind, "gpu");
        assert.equal(precision, one.precision, told);
      }
      compare(driver, one, answers.map(({ logits }) => logits));
    }
  });
}

for (const [driver, { device, init }] of Object.entries(CHROMIUM)) {
  test(`${driver} agrees with the CPU: networks and number formats`, async () => {
    const opened = await open(browser, server.origin, { init });
    try {
      for (const one of await wanted()) {
        const pictures = one.pictures.map((path) => `/${path}`);
        const { logits, info } = await opened.page.evaluate(run, [`/made/${one.model}.safetensors`, one.precision, device, pictures]);
        assert.equal(info.precision, one.precision, info.precisionNote);
        assert.equal(info.device.kind, device);
        if (device === "webgpu" && one.precision === "w8a8") assert.match(info.precisionNote ?? "", /bit for bit/, one.model);
        compare(driver, one, logits);
      }
    } finally {
      await opened.close();
    }
  });
}

test("the table of drivers is whole", async () => {
  await writeFile(join(process.env.WEB_MADE, "drivers.json"), `${JSON.stringify(table, null, 1)}\n`);
  const drivers = [...Object.keys(NATIVE), ...Object.keys(CHROMIUM)];
  const cell = ({ max_rel, bit_exact }) => (bit_exact ? "the same bits" : max_rel.toExponential(1));
  const names = [...new Set(table.map(({ network, precision }) => `${network} ${precision}`))];
  const find = (name, driver) => table.find((row) => row.driver === driver && `${row.network} ${row.precision}` === name);
  const rows = names.map((name) => [name, ...drivers.map((driver) => cell(find(name, driver) ?? { max_rel: NaN }))]);
  console.log("Largest difference from the CPU executor's logits, of the largest logit:");
  for (const row of [["", ...drivers], ...rows]) console.log(row.map((text, at) => text.padEnd(at ? 22 : 26)).join(""));
  if (!swiftshader) console.log(`SwiftShader for native programs (${ICD}) is not here`);
  assert.equal(table.length, names.length * drivers.length);
  assert.ok(names.length >= 12, `${names.length} rows`);
});

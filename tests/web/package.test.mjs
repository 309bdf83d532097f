// The package itself: its size, its files, its types.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";

const folder = process.env.WEB_PKG;

// Bytes of wasm and scripts that a page fetches, gzipped.
const BUDGET = 400_000;

const gzipped = async (names) => {
  let sum = 0;
  for (const name of names) sum += gzipSync(await readFile(join(folder, name)), { level: 9 }).length;
  return sum;
};

test("wasm and scripts are within their budget, whatever a page needs of them", async () => {
  const names = (await readdir(folder)).filter((name) => /\.(wasm|js)$/.test(name));
  const part = /^(gpu|cpu|cpu_relaxed|import)(_bg\.wasm|\.js)$/;
  const shared = names.filter((name) => !part.test(name));
  assert.ok(shared.includes("index.js") && names.filter((name) => name.endsWith(".wasm")).length === 4, names.join());
  const scripts = await gzipped(shared);
  for (const wasm of ["gpu", "cpu", "cpu_relaxed"]) {
    const own = await gzipped([`${wasm}_bg.wasm`, `${wasm.replace("_relaxed", "")}.js`]);
    console.log(`${wasm}: ${own} bytes gzipped, with the scripts ${own + scripts}`);
    assert.ok(own + scripts <= BUDGET, `${wasm}: ${own + scripts} bytes, at most ${BUDGET}`);
  }
  // Only where a file is a checkpoint.
  const more = await gzipped(["import_bg.wasm", "import.js"]);
  console.log(`import: ${more} bytes gzipped`);
  assert.ok(more <= BUDGET, `import: ${more} bytes, at most ${BUDGET}`);
});

test("no compiler of shaders is in it, and nothing is fetched from elsewhere", async () => {
  for (const name of (await readdir(folder)).filter((name) => name.endsWith(".wasm"))) {
    const wasm = (await readFile(join(folder, name))).toString("latin1");
    assert.ok(!wasm.includes("naga::"), `naga is in ${name}`);
    assert.equal(/wgpu/.test(wasm), name === "gpu_bg.wasm", `wgpu and ${name}`);
  }
  for (const name of (await readdir(folder)).filter((name) => name.endsWith(".js"))) {
    assert.doesNotMatch(await readFile(join(folder, name), "utf8"), /["'`]https?:\/\//, name);
  }
});

test("the types hold for what a user writes", async () => {
  const tsc = join(process.env.WEB_NODE, "node_modules/typescript/bin/tsc");
  const options = ["--noEmit", "--strict", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler"];
  const lib = ["--lib", "es2022,dom,dom.iterable,esnext.disposable", "--types", ""];
  await promisify(execFile)(process.execPath, [tsc, ...options, ...lib, "tests/web/types.ts"]).catch((error) => {
    assert.fail(error.stdout || error.message);
  });
});

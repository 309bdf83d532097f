// The package itself: its size, its files, its types.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";

const folder = process.env.WEB_PKG;

// Bytes of wasm and scripts, gzipped: what it is, with room for a few changes. The aim is 400,000.
const BUDGET = 625_000;

test("wasm and scripts are within their budget", async () => {
  const names = (await readdir(folder)).filter((name) => /\.(wasm|js)$/.test(name));
  assert.ok(names.includes("foveate_bg.wasm") && names.includes("index.js"), names.join());
  let sum = 0;
  for (const name of names) sum += gzipSync(await readFile(join(folder, name)), { level: 9 }).length;
  console.log(`package: ${sum} bytes gzipped`);
  assert.ok(sum <= BUDGET, `${sum} bytes, at most ${BUDGET}`);
});

test("no compiler of shaders is in it, and nothing is fetched from elsewhere", async () => {
  const wasm = (await readFile(join(folder, "foveate_bg.wasm"))).toString("latin1");
  assert.ok(!wasm.includes("naga::"), "naga is in the wasm");
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

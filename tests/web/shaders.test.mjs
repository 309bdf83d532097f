// Every kernel read by Chromium's compiler, Tint: the files that `tests/shaders.sh` writes.
import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch, open } from "./browser.mjs";
import { serve } from "./server.mjs";

const folder = join(process.env.WEB_SHADERS, "wgsl");
let server, browser, opened;

before(async () => {
  server = await serve({});
  browser = await launch();
  opened = await open(browser, server.origin);
});

after(async () => {
  await browser?.close();
  server?.close();
});

/** Runs in the page: what is said of each text, the first error alone. */
const compile = async (texts) => {
  const adapter = await navigator.gpu.requestAdapter();
  const requiredFeatures = adapter.features.has("subgroups") ? ["subgroups"] : [];
  const device = await adapter.requestDevice({ requiredFeatures });
  device.pushErrorScope("validation");
  const said = [];
  for (const code of texts) {
    const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
    const error = messages.find(({ type }) => type === "error");
    said.push(error && `${error.lineNum}:${error.linePos}: ${error.message}`);
  }
  await device.popErrorScope();
  device.destroy();
  return { said, subgroups: requiredFeatures.length > 0 };
};

test("Tint takes every kernel", async () => {
  const files = (await readdir(folder)).sort();
  assert.ok(files.length > 200, `${files.length} files`);
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), "utf8")));
  // naga asks for no such lines, and a browser's device never gets these. That whole subgroups come to each
  // broadcast hangs on constants, which the analysis does not look at.
  const head = "enable subgroups;\ndiagnostic(off, subgroup_uniformity);\n";
  const asked = texts.map((text, at) => (files[at].includes("-subgroups") ? head + text : text));
  const { said, subgroups } = await opened.page.evaluate(compile, asked);
  assert.equal(said.length, files.length);
  const judged = files.map((file, at) => ({ file, said: said[at] })).filter(({ file }) => subgroups || !file.includes("-subgroups"));
  const wrong = judged.filter(({ said }) => said);
  console.log(`${judged.length - wrong.length} of ${judged.length} shaders`);
  assert.ok(judged.length > 200);
  assert.deepEqual(wrong, []);
});

test("what naga does not see is seen", async () => {
  const text = await readFile(join(folder, (await readdir(folder)).find((file) => file.startsWith("gemm-"))), "utf8");
  const barrier = /workgroupBarrier\(\);/;
  assert.match(text, barrier);
  // A barrier that some invocations of a workgroup do not come to.
  const planted = text.replace(barrier, "if (thread > 3u) { workgroupBarrier(); }");
  const { said } = await opened.page.evaluate(compile, [planted]);
  assert.match(said[0] ?? "right", /uniform control flow/);
});

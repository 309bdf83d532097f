// Chromium's column of the table of drivers: every family in every precision, against the native program.
import assert from "node:assert/strict";
import { readFile, readdir, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { after, before, test } from "node:test";
import { launch, open } from "./browser.mjs";
import { serve } from "./server.mjs";

const folder = join(process.env.WEB_MADE, "drivers");
/**
 * Of the largest logit. Integers are the same, bit for bit, from the same input: GPUs and the CPU prepare pictures with
 * other rounding, which now and then is another integer (natively on SwiftShader, too).
 */
const BOUNDS = { f32: 1e-4, w8: 1e-4 };
let server, browser;

before(async () => {
  server = await serve({ "/pkg/": process.env.WEB_PKG, "/tests/": "tests", "/made/": folder });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  server?.close();
});

const run = async ([model, precision, pictures]) => {
  const { Session } = await import("/pkg/index.js");
  const session = await Session.load(model, { precision, device: "webgpu", cache: false });
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

test("Chromium agrees with the native program: networks and precisions", async () => {
  const files = (await readdir(folder)).filter((name) => name.endsWith(".jsonl")).sort();
  const opened = await open(browser, server.origin);
  const table = [];
  try {
    for (const file of files) {
      const [model, precision] = basename(file, ".jsonl").split(".");
      const wanted = (await readFile(join(folder, file), "utf8")).trim().split("\n").map((line) => JSON.parse(line));
      const pictures = wanted.map(({ image }) => `/${image}`);
      const { logits, info } = await opened.page.evaluate(run, [`/made/${model}.safetensors`, precision, pictures]);
      assert.equal(info.precision, precision, info.precisionNote);
      assert.equal(info.device.kind, "webgpu");
      const exact = logits.map((found, at) => found.every((value, i) => value === Math.fround(wanted[at].logits[i])));
      const apart = logits.map((found, at) => {
        const largest = Math.max(...wanted[at].logits.map(Math.abs));
        assert.equal(found.length, wanted[at].logits.length);
        return Math.max(...found.map((value, i) => Math.abs(value - wanted[at].logits[i]))) / largest;
      });
      table.push({
        driver: `Chromium, ${info.device.name}`,
        network: model.replace(/-w8a8$/, ""),
        precision,
        max_rel: Math.max(...apart),
        bit_exact: exact.every(Boolean),
        // Pictures whose logits are the same bits, of all.
        exact: [exact.filter(Boolean).length, exact.length],
        // What loading made of one input on both sides.
        note: info.precisionNote,
        top1: logits.every((found, at) => best(found) === best(wanted[at].logits)),
      });
    }
  } finally {
    await opened.close();
  }
  await writeFile(join(process.env.WEB_MADE, "chromium.json"), `${JSON.stringify(table, null, 1)}\n`);
  for (const row of table) console.log(Object.values(row).join("  "));
  assert.ok(table.length >= 12, `${table.length} rows`);
  for (const row of table) {
    const what = JSON.stringify(row);
    assert.ok(row.top1, what);
    if (row.precision === "w8a8") {
      assert.ok(row.bit_exact, what);
      assert.match(row.note ?? "", /bit for bit/, what);
    } else assert.ok(row.max_rel <= BOUNDS[row.precision], what);
  }
});

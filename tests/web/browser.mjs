// Chromium: WebGPU on SwiftShader, or none.
import { createRequire } from "node:module";
import { join } from "node:path";

const { chromium } = createRequire(join(process.env.WEB_NODE, "package.json"))("playwright-core");

const QUIET = [
  "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
  "--disable-sync",
];
const NONE = ["--disable-features=WebGPU"];

/** `adapter` as Chromium calls it, or `"default"` for whatever it takes by itself. */
export const launch = ({ webgpu = true, adapter = "swiftshader", args = [] } = {}) => {
  const chosen = adapter === "default" ? [] : [`--use-webgpu-adapter=${adapter}`];
  return chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: [...QUIET, ...(webgpu ? ["--enable-unsafe-webgpu", ...chosen] : NONE), ...args],
  });
};

/** Begins a page without relaxed SIMD, as in browsers of some years ago. */
export const older = () => {
  const { validate } = WebAssembly;
  WebAssembly.validate = (bytes) => bytes.byteLength > 100 && validate(bytes);
};

/** A fresh page whose errors and warnings are collected. */
export async function open(browser, origin, { path = "/", init } = {}) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const said = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error)));
  if (init) await page.addInitScript(init);
  await page.goto(origin + path);
  return { page, context, said, close: () => context.close() };
}

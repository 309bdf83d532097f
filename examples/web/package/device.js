// Which device to ask for, and why.
import { FoveateError } from "./errors.js";

/** `{ device, code, reason }` for what the caller asked for: `"auto"`, `"webgpu"` or `"cpu"`. */
export async function choose(asked) {
  if (asked === "cpu") return { device: "cpu", reason: "as asked for" };
  if (asked !== "auto" && asked !== "webgpu") {
    throw new FoveateError("invalid-argument", `device is ${JSON.stringify(asked)}; use "auto", "webgpu" or "cpu"`);
  }
  const found = await look();
  if (found.code && asked === "webgpu") throw new FoveateError(found.code, found.reason);
  if (asked === "webgpu") return { device: "webgpu" };
  if (found.code) return { device: "cpu", ...found };
  if (found.software) {
    return { device: "cpu", reason: "WebGPU here computes on the CPU, slower than foveate does; device: \"webgpu\" takes it" };
  }
  return { device: "auto" };
}

/** What the browser tells of its GPU, which is not much. */
export async function named() {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  const { description, vendor, architecture, device } = adapter?.info ?? {};
  return description || [vendor, architecture, device].filter(Boolean).join(" ");
}

async function look() {
  if (!globalThis.navigator?.gpu) {
    return globalThis.isSecureContext === false
      ? { code: "insecure-context", reason: "this page is not in a secure context, where browsers hide WebGPU" }
      : { code: "no-webgpu", reason: "this browser has no WebGPU (navigator.gpu)" };
  }
  let adapter;
  try {
    adapter = await navigator.gpu.requestAdapter();
  } catch (error) {
    return { code: "no-adapter", reason: `this browser has WebGPU but gave no GPU: ${error.message}` };
  }
  if (!adapter) return { code: "no-adapter", reason: "this browser has WebGPU but found no GPU that it trusts" };
  return { software: adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter ?? false };
}

// What the browser tells of its GPU.

/** `{ name, software }` of where a session computes; `software` where a CPU plays the GPU. */
export async function described({ kind, name, driver }) {
  if (kind !== "webgpu") return { name: "CPU, in WebAssembly", software: false };
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  const { description, vendor, architecture, device, isFallbackAdapter } = adapter?.info ?? {};
  const told = name || description || [vendor, architecture, device].filter(Boolean).join(" ");
  const software = Boolean(isFallbackAdapter ?? adapter?.isFallbackAdapter) || /swiftshader|llvmpipe|lavapipe/i.test(`${told} ${driver}`);
  return { name: told || "a GPU that the browser does not name", software };
}

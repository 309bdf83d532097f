// Keeps the page's files, so that it works without its server once it was loaded. The server is asked first: what it
// has is never older. Models are kept by the package itself, which checks their hashes.
const CACHE = "foveate-page-1";
const START = [
  "index.html", "page.css",
  ...["answer", "benchmark", "camera", "clip", "elements", "facts", "loop", "main", "model", "picture", "problem", "record", "stats", "times", "visible"].map((name) => `page/${name}.js`),
  ...["index.js", "host.js", "worker.js", "device.js", "errors.js", "files.js", "frames.js", "gate.js", "foveate.js", "foveate_bg.wasm"].map((name) => `pkg/${name}`),
  ...["cat.jpg", "horse.png", ...["airplane", "automobile", "bird", "deer", "dog", "frog", "ship", "truck"].map((name) => `${name}.png`)].map((name) => `clip/${name}`),
];

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(START)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const address = new URL(request.url);
  const ours = address.origin === self.location.origin && request.method === "GET";
  if (!ours || address.pathname.endsWith(".safetensors")) return;
  event.respondWith(answer(request));
});

async function answer(request) {
  const cache = await caches.open(CACHE);
  try {
    const response = await fetch(request);
    if (response.ok) await cache.put(request, response.clone());
    return response;
  } catch (error) {
    const page = request.mode === "navigate" ? "index.html" : undefined;
    const kept = (await cache.match(request, { ignoreSearch: true })) ?? (page && (await cache.match(page)));
    if (kept) return kept;
    throw error;
  }
}

// Serves the repository to a browser under test, and counts what is asked for.
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

const TYPES = {
  ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css",
  ".json": "application/json", ".wasm": "application/wasm", ".png": "image/png", ".jpg": "image/jpeg",
  ".svg": "image/svg+xml", ".txt": "text/plain", ".ts": "text/plain", ".md": "text/plain",
};

/** A server of some folders: `{ "/pkg/": folder }`. `asked` counts requests by path. */
export async function serve(folders) {
  const asked = new Map();
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
    const key = `${request.method} ${path}`;
    asked.set(key, (asked.get(key) ?? 0) + 1);
    try {
      if (path === "/") {
        response.writeHead(200, { "content-type": TYPES[".html"] });
        response.end("<!doctype html><meta charset=utf-8><title>foveate</title><body></body>");
        return;
      }
      const prefix = Object.keys(folders).find((prefix) => path.startsWith(prefix));
      const file = prefix && join(folders[prefix], normalize(path.slice(prefix.length)).replace(/^(\.\.[/\\])+/, ""));
      const found = file && (await stat(file).catch(() => undefined));
      if (!found?.isFile()) {
        response.writeHead(404, { "content-type": "text/plain" }).end("not here");
        return;
      }
      response.writeHead(200, {
        "content-type": TYPES[extname(file)] ?? "application/octet-stream",
        "content-length": found.size,
        etag: `"${found.size}-${found.mtimeMs}"`,
        "cache-control": "no-cache",
      });
      if (request.method === "HEAD") response.end();
      else if (path.startsWith("/slow/")) await trickle(await readFile(file), response);
      else createReadStream(file).pipe(response);
    } catch (error) {
      response.destroy(error);
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { origin: `http://127.0.0.1:${server.address().port}`, asked, close: () => server.close() };
}

async function trickle(bytes, response) {
  for (let at = 0; at < bytes.length && !response.destroyed; at += 16384) {
    response.write(bytes.subarray(at, at + 16384));
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  response.end();
}

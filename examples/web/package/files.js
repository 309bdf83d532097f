// Model files: from the network with progress, kept in Cache Storage, held to their hashes.
import { FoveateError, aborted, check } from "./errors.js";

const CACHE = "foveate-models-1";
const HASH = "x-foveate-sha256";

const hex = (bytes) => Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** SHA-256 as hex; `undefined` where the browser has none to offer (insecure contexts). */
const hash = async (bytes) => (globalThis.crypto?.subtle ? hex(await crypto.subtle.digest("SHA-256", bytes)) : undefined);

/**
 * The bytes of a model and where they came from. `source` is an absolute address, a Blob, or bytes.
 * With `sha256`, a kept copy of that hash is used without asking the network.
 */
export async function obtain(source, { sha256, cache = true, onProgress, signal }) {
  check(signal);
  const expected = sha256?.toLowerCase();
  if (expected !== undefined && !/^[0-9a-f]{64}$/.test(expected)) {
    throw new FoveateError("invalid-argument", `sha256 is ${JSON.stringify(sha256)}; 64 hexadecimal digits are wanted`);
  }
  if (typeof source !== "string") {
    const bytes = source instanceof Blob ? new Uint8Array(await source.arrayBuffer()) : asBytes(source);
    check(signal);
    const found = await hash(bytes);
    hold(found, expected, source.name ?? "the file");
    onProgress?.("fetch", bytes.length, bytes.length);
    return { bytes, from: "memory", sha256: found, name: source.name };
  }
  const kept = cache ? await recall(source, expected) : undefined;
  if (kept && (expected || (await isCurrent(source, kept, signal)))) {
    onProgress?.("fetch", kept.bytes.length, kept.bytes.length);
    return { bytes: kept.bytes, from: "cache", sha256: kept.sha256, url: source };
  }
  check(signal);
  const { bytes, headers } = await download(source, onProgress, signal);
  const found = await hash(bytes);
  hold(found, expected, source);
  if (cache && found) await keep(source, bytes, found, headers);
  check(signal);
  return { bytes, from: "network", sha256: found, url: source };
}

const asBytes = (source) =>
  source instanceof ArrayBuffer ? new Uint8Array(source) : new Uint8Array(source.buffer, source.byteOffset, source.byteLength);

function hold(found, expected, name) {
  if (expected && found && found !== expected) {
    throw new FoveateError("integrity", `${name} has the SHA-256 ${found}, not ${expected}`);
  }
}

async function download(url, onProgress, signal) {
  let response;
  const failed = (error) => {
    if (signal?.aborted) return aborted(signal);
    return new FoveateError("network", `${url} could not be fetched: ${error.message}`, { cause: error });
  };
  try {
    response = await fetch(url, { signal });
  } catch (error) {
    throw failed(error);
  }
  if (!response.ok) {
    throw new FoveateError("network", `${url} could not be fetched: the server says ${response.status} ${response.statusText}`.trimEnd());
  }
  // The length of what is sent: more arrives where that is compressed.
  const encoded = response.headers.get("content-encoding");
  const total = encoded ? 0 : Number(response.headers.get("content-length")) || 0;
  const reader = response.body.getReader();
  let bytes = new Uint8Array(total || 1 << 20);
  let length = 0;
  onProgress?.("fetch", 0, total);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (length + value.length > bytes.length) {
        const larger = new Uint8Array(Math.max(bytes.length * 2, length + value.length));
        larger.set(bytes.subarray(0, length));
        bytes = larger;
      }
      bytes.set(value, length);
      length += value.length;
      onProgress?.("fetch", length, Math.max(total, total && length));
    }
  } catch (error) {
    throw failed(error);
  }
  if (total && length !== total) {
    throw new FoveateError("network", `${url} was cut off: ${length} of ${total} bytes came`);
  }
  return { bytes: bytes.subarray(0, length), headers: response.headers };
}

/** A kept copy that is still what its hash says; one that is not is dropped. */
async function recall(url, expected) {
  try {
    const store = await globalThis.caches?.open(CACHE);
    const response = await store?.match(url);
    if (!response) return undefined;
    const bytes = new Uint8Array(await response.arrayBuffer());
    const sha256 = await hash(bytes);
    if (!sha256 || sha256 !== response.headers.get(HASH)) {
      await store.delete(url);
      return undefined;
    }
    return expected && sha256 !== expected ? undefined : { bytes, sha256, headers: response.headers };
  } catch {
    // Storage may be forbidden (private windows, sandboxed frames): then nothing is kept.
    return undefined;
  }
}

/** Whether the server still has the copy's version; unreachable servers are not waited for. */
async function isCurrent(url, kept, signal) {
  try {
    const response = await fetch(url, { method: "HEAD", cache: "no-cache", signal });
    if (!response.ok) return response.status !== 404 && response.status !== 410;
    const same = (name) => {
      const [now, then] = [response.headers.get(name), kept.headers.get(name)];
      return now === null || then === null || now === then;
    };
    return same("etag") && same("last-modified") && (response.headers.has("content-encoding") || same("content-length"));
  } catch {
    check(signal);
    return true;
  }
}

async function keep(url, bytes, sha256, from) {
  const headers = { [HASH]: sha256, "content-type": "application/octet-stream", "content-length": String(bytes.length) };
  for (const name of ["etag", "last-modified"]) {
    const value = from.get(name);
    if (value !== null) headers[name] = value;
  }
  try {
    const store = await globalThis.caches?.open(CACHE);
    await store?.put(url, new Response(bytes, { headers }));
  } catch {
    // No room, or no storage: the next load asks the network again.
  }
}

/** Drops all kept models. */
export const forget = async () => {
  try {
    return (await globalThis.caches?.delete(CACHE)) ?? false;
  } catch {
    return false;
  }
};

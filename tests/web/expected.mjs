// Gathers what the native program said (`classify --json`, a line per picture) into one file.
import { readFileSync } from "node:fs";
import { join } from "node:path";

const folder = process.argv[2];
const lines = (name) => readFileSync(join(folder, `${name}.jsonl`), "utf8").trim().split("\n").map((line) => JSON.parse(line));
const runs = Object.fromEntries(["f32", "w8", "w8a8"].map((name) => [name, lines(name)]));
const models = {
  f32: "/assets/cifar10-qarepvgg.safetensors", w8: "/assets/cifar10-qarepvgg.safetensors", w8a8: "/made/int8.safetensors",
};
console.log(JSON.stringify({ pictures: runs.f32.map((run) => run.image), runs, models }));

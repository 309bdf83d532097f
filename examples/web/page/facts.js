// What there is to know of network and device, in words.
import { element, made } from "./elements.js";

/** Why there is no WebGPU: in short, and what to do about it. */
const NOTES = {
  "no-webgpu": ["CPU: this browser has no WebGPU", "Chrome and Edge from 113, Safari from 26 and Firefox from 141 have it."],
  "insecure-context": ["CPU: no WebGPU on an insecure page", "Open it over https:// or from http://localhost."],
  "no-adapter": ["CPU: WebGPU found no GPU", "Turn on hardware acceleration in the browser's settings and update the graphics driver."],
};

const count = (value) => {
  const [unit, name] = [[1e9, " billion"], [1e6, " million"], [1e3, " thousand"]].find(([unit]) => value >= unit) ?? [1, ""];
  return `${+(value / unit).toPrecision(3)}${name}`;
};
const size = (bytes) => (bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e3).toFixed(0)} KB`);
const time = (ms) => (ms >= 1000 ? `${(ms / 1000).toFixed(1)} s` : `${ms.toFixed(ms < 10 ? 1 : 0)} ms`);

/** What a session's device is called. */
export const called = ({ kind, name }) => (kind === "webgpu" ? name || "a GPU that the browser does not name" : "CPU, in WebAssembly");

/** Shows a session's. `choice` is what was asked for. */
export function show(info, choice) {
  const { device, precisionNote } = info;
  const name = called(device);
  const reason = device.kind === "webgpu" && choice.device === "webgpu" ? "As asked for" : device.reason.replace(/; device: .*$/, "");
  const [short, hint] = NOTES[device.code] ?? [device.kind === "cpu" ? "CPU" : "", ""];
  const facts = [
    ["Device", device.kind === "webgpu" ? `WebGPU: ${name}` : name, [sentence(reason), device.software ? "The CPU plays the GPU here: slow." : hint]],
    ["Network", `${info.model}, ${info.precision}`, [sentence(precisionNote)]],
    ["Size", `${count(info.parameters)} parameters (${size(info.weightBytes)}), ${count(info.macs)} multiply-adds in ${info.steps} steps, ${info.inputSize.join(" × ")} pixels, ${info.classes} classes`],
    ["Ready after", `${time(info.timing.load)} to read and fuse, ${time(info.timing.compile)} to open the device and compile`],
  ];
  element.facts.replaceChildren(
    ...facts.flatMap(([name, text, more = []]) => {
      const value = made("dd", text);
      const note = more.filter(Boolean).join(" ");
      if (note) value.append(made("small", note));
      return [made("dt", name), value];
    }),
  );
  element.facts.dataset.device = device.kind;
  element["stage-note"].textContent = short;
  element["stage-note"].hidden = !short;
  element.version.textContent = `Version ${info.version}.`;
  const random = info.source.from === "random";
  element.meaning.hidden = !random;
  element.meaning.textContent = random ? "Its weights are random: names mean nothing, times are real." : "";
}

const sentence = (text) => (text ? text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".") : "");

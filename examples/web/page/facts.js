// What there is to know of network and device, in words.
import { FoveateError } from "../pkg/index.js";
import { element, made } from "./elements.js";

const NOTES = {
  "no-webgpu": "CPU: this browser has no WebGPU",
  "insecure-context": "CPU: no WebGPU on a page that is not secure",
  "no-adapter": "CPU: WebGPU found no GPU",
};

const count = (value) => {
  const [unit, name] = [[1e9, " billion"], [1e6, " million"], [1e3, " thousand"]].find(([unit]) => value >= unit) ?? [1, ""];
  return `${+(value / unit).toPrecision(3)}${name}`;
};
const time = (ms) => (ms >= 1000 ? `${(ms / 1000).toFixed(1)} s` : `${ms.toFixed(ms < 10 ? 1 : 0)} ms`);

/** In one line: kind, and name where browsers tell. */
export const deviceName = ({ kind, name, driver }) =>
  kind === "cpu" ? "CPU, in WebAssembly" : ["WebGPU", name, driver].filter(Boolean).join(" · ");

export function show(info) {
  const { device, precisionNote } = info;
  const hint = device.code ? new FoveateError(device.code, "").hint : "";
  const short = device.kind === "cpu" ? (NOTES[device.code] ?? "CPU") : "";
  const facts = [
    ["Device", deviceName(device), [device.kind === "cpu" && device.code ? "The CPU takes the GPU's place." : "", sentence(device.reason), hint]],
    ["Network", `${info.model}, ${info.precision}`, [sentence(precisionNote)]],
    ["Size", `${count(info.parameters)} parameters, ${count(info.macs)} multiply-adds, ${info.inputSize.join(" × ")} pixels, ${info.classes} classes`],
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

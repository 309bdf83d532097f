// Which network, how and where: the pickers, and sessions of what they say.
import { Session } from "../pkg/index.js";
import { element, made } from "./elements.js";

const FILE = "file";
const STAGES = { fetch: "Fetching", fuse: "Reading and fusing", compile: "Compiling for the GPU" };
const { model, precision, device, arch } = element;
let file;

/** What the pickers say. */
export const chosen = () => ({ model: model.value, file, precision: precision.value, device: device.value, arch: arch.value.trim() });

/** Has the pickers say something again. */
export function restore(choice) {
  file = choice.file;
  name();
  [model.value, precision.value, device.value, arch.value] = [choice.model, choice.precision, choice.device, choice.arch];
}

const sources = {
  builtin: () => undefined,
  [FILE]: (choice) => choice.file,
};

/** A session of a choice. */
export async function load(choice, { signal, onProgress, onRecover } = {}) {
  const source = (sources[choice.model] ?? (() => ({ random: choice.model, seed: 0 })))(choice);
  const options = { device: choice.device, signal, onProgress, onRecover };
  if (choice.model === FILE && choice.arch) options.arch = choice.arch;
  if (choice.precision) options.precision = choice.precision;
  return Session.load(source, options);
}

/** How far loading is; nothing, when it is over. */
export function progress(at) {
  element.loading.hidden = !at;
  if (!at) return;
  const { stage, done, total } = at;
  const part = total > 0 ? done / total : undefined;
  element["loading-what"].textContent = `${STAGES[stage] ?? "Loading"}${part === undefined ? "" : `, ${Math.floor(100 * part)} %`}`;
  if (part === undefined) element["loading-bar"].removeAttribute("value");
  else element["loading-bar"].value = part;
}

/** Calls back when another choice was made. */
export function onChoice(changed) {
  for (const picker of [model, precision, device]) picker.addEventListener("change", changed);
  arch.addEventListener("change", () => model.value === FILE && changed());
  const input = element["model-file"];
  element["open-model"].addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    if (!input.files[0]) return;
    [file] = input.files;
    // The same file may be chosen again.
    input.value = "";
    name();
    model.value = FILE;
    // What it holds, whatever the last one was asked for.
    precision.value = "";
    changed();
  });
}

/** The file's entry in the picker, if there is a file. */
function name() {
  let option = model.querySelector(`option[value="${FILE}"]`);
  if (!file) {
    option?.remove();
    return;
  }
  if (!option) {
    option = made("option");
    option.value = FILE;
    model.options[0].after(option);
  }
  option.textContent = `File: ${file.name}`;
}

/** Puts the named networks into the picker. */
export async function listModels() {
  const group = made("optgroup");
  group.label = "Random weights, for measuring";
  for (const each of await Session.models()) {
    const option = made("option", each);
    option.value = each;
    group.append(option);
    const known = made("option");
    known.value = each;
    element.archs.append(known);
  }
  model.append(group);
}

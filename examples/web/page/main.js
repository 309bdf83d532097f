// The page: a source of pictures, a session, and the loop between them.
import * as answer from "./answer.js";
import { onBenchmark } from "./benchmark.js";
import { cameras, onCameras, openCamera } from "./camera.js";
import { openClip } from "./clip.js";
import { element, made } from "./elements.js";
import * as facts from "./facts.js";
import { Loop } from "./loop.js";
import * as model from "./model.js";
import { onPicture, openPicture } from "./picture.js";
import * as problem from "./problem.js";
import * as times from "./times.js";

let session, source, good, loading, opening = 0;

const loop = new Loop({
  onAnswer({ top, timing }, how) {
    answer.show(top);
    times.add(timing, how);
  },
  onProblem: problem.show,
});

function look() {
  answer.clear();
  times.clear();
  if (session && source) loop.start(session, source);
}

/** Takes another source; the one before is stopped when the new one is there. */
async function use(open) {
  const turn = ++opening;
  problem.clear();
  let opened;
  try {
    opened = await open();
  } catch (error) {
    if (turn !== opening) return;
    // A camera that made room for another that does not open.
    if (source?.ended) await useClip();
    problem.show(error);
    return;
  }
  if (turn !== opening) {
    opened.stop();
    return;
  }
  loop.stop();
  source?.stop();
  source = opened;
  for (const id of ["video", "clip", "picture"]) element[id].hidden = element[id] !== opened.element;
  for (const name of ["camera", "picture", "clip"]) element[`use-${name}`].setAttribute("aria-pressed", String(name === opened.name));
  element["camera-choice"].hidden = opened.name !== "camera";
  element.pause.hidden = opened.still;
  pause(false);
  look();
  if (opened.name === "camera") await listCameras();
}

function pause(on) {
  loop.pause(on);
  element.pause.textContent = on ? "Go on" : "Pause";
}

const useClip = () => use(openClip);
const useCamera = (id) =>
  use(async () => {
    // Some devices open one camera at a time: the one before has to go first.
    if (source?.name === "camera") {
      loop.stop();
      source.stop();
    }
    const onEnd = async () => {
      await useClip();
      problem.show(problem.problem("unsupported-source", "The camera went away", "Connect it and press Camera again; here is the clip meanwhile."));
    };
    return openCamera({ id, onEnd });
  });

async function listCameras() {
  const found = await cameras();
  element.cameras.replaceChildren(
    ...found.map(({ id, label }) => {
      const option = made("option", label);
      option.value = id;
      return option;
    }),
  );
  if (source?.id) element.cameras.value = source.id;
  element.cameras.disabled = found.length < 2;
}

/** Loads what the pickers say. If that cannot be, the page goes on with what was there before. */
async function reload() {
  loading?.abort();
  const controller = (loading = new AbortController());
  const choice = model.chosen();
  problem.clear();
  await release();
  if (controller.signal.aborted) return;
  const failure = await start(choice, controller.signal);
  if (!failure || controller.signal.aborted) return;
  problem.show(failure);
  if (good && good !== choice) {
    model.restore(good);
    const again = await start(good, controller.signal);
    if (again && !controller.signal.aborted) problem.show(again);
  }
}

/** The error, if there was one. */
async function start(choice, signal) {
  element.settings.setAttribute("aria-busy", "true");
  try {
    const loaded = await model.load(choice, { signal, onProgress: (at) => !signal.aborted && model.progress(at), onRecover: (info) => facts.show(info, choice) });
    if (signal.aborted) {
      loaded.free();
      return undefined;
    }
    session = loaded;
    good = choice;
    facts.show(session.info, choice);
    look();
    return undefined;
  } catch (error) {
    return error;
  } finally {
    if (!signal.aborted) {
      model.progress();
      element.settings.removeAttribute("aria-busy");
    }
  }
}

async function release() {
  const freed = session;
  session = undefined;
  await loop.settle();
  freed?.free();
}

element["use-clip"].addEventListener("click", useClip);
element["use-camera"].addEventListener("click", () => useCamera());
element.cameras.addEventListener("change", () => useCamera(element.cameras.value));
element.pause.addEventListener("click", () => pause(!loop.paused));
onCameras(() => source?.name === "camera" && listCameras());
onPicture((file) => use(() => openPicture(file)));
model.onChoice(reload);
onBenchmark({
  choice: model.chosen,
  async release() {
    loading?.abort();
    model.progress();
    element.settings.inert = true;
    source?.pause(true);
    await release();
    answer.clear();
    times.clear();
  },
  async resume() {
    element.settings.inert = false;
    if (!loop.paused) source?.pause(false);
    await reload();
  },
});
addEventListener("pagehide", () => {
  source?.stop();
  release();
});
// A page that comes back from the browser's cache starts anew.
addEventListener("pageshow", (event) => event.persisted && location.reload());

navigator.serviceWorker?.register(new URL("../offline.js", import.meta.url)).catch(() => {
  // Without it the page works as long as its server does.
});
await Promise.all([useClip(), reload()]);
await model.listModels().catch(problem.show);

// Frame after frame from a source through a session, one under way at a time: its time is the frame's own.
import { visible } from "./visible.js";

/** Every so many frames one is measured by the GPU's own clock, which costs the frame a detour. */
const GPU_EVERY = 8;
/** Milliseconds that a frame under way is waited for before its session is freed. */
const PATIENCE = 2000;

export class Loop {
  #run;
  #under = Promise.resolve();
  #paused = false;
  #resume;
  #source;

  /** `onAnswer(answer, { stamped })` gets every answer; `onProblem(error)` what ended the loop. */
  constructor({ onAnswer, onProblem }) {
    this.onAnswer = onAnswer;
    this.onProblem = onProblem;
  }

  get paused() {
    return this.#paused;
  }

  /** Looks at this source from now on; stops what went on before. */
  start(session, source) {
    this.stop();
    this.#source = source;
    if (this.#paused && !source.still) source.pause(true);
    const controller = new AbortController();
    this.#run = controller;
    this.#go(session, source, controller.signal).catch((error) => {
      if (!controller.signal.aborted) this.onProblem(error);
    });
  }

  stop() {
    this.#run?.abort();
    this.#run = undefined;
  }

  /** Stops, and settles when no frame is under way any more: a video's frames are to be closed by who has them. */
  async settle() {
    this.stop();
    await Promise.race([this.#under, new Promise((resolve) => setTimeout(resolve, PATIENCE))]);
  }

  pause(on) {
    this.#paused = on;
    this.#source?.pause(on);
    if (!on) this.#resume?.();
  }

  async #go(session, source, signal) {
    let stamps = session.device.kind === "webgpu";
    for (let count = 0; !signal.aborted; count++) {
      await visible();
      if (this.#paused && count > 0) {
        await new Promise((resolve) => (this.#resume = resolve));
        continue;
      }
      const picture = await source.next(signal);
      if (signal.aborted) return;
      const gpuTime = stamps && count % GPU_EVERY === 1;
      const run = session.run(picture, { top: 5, gpuTime });
      this.#under = run.catch(() => {});
      const answer = await run;
      if (signal.aborted) return;
      if (gpuTime && answer.timing.gpu === undefined) stamps = false;
      this.onAnswer(answer, { stamped: gpuTime });
      if (source.still) return;
    }
  }
}

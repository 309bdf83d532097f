// Who may use a session: a few runs at once, or one call alone.
import { aborted, check } from "./errors.js";

export class Gate {
  #free;
  #all;
  #waiting = [];

  constructor(places) {
    this.#free = this.#all = places;
  }

  /** Takes a place, or all of them; resolves to a function that gives them back. In the order of the calls. */
  async enter({ alone = false, signal } = {}) {
    check(signal);
    const wanted = alone ? this.#all : 1;
    if (this.#waiting.length > 0 || this.#free < wanted) await this.#wait(wanted, signal);
    else this.#free -= wanted;
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#free += wanted;
      this.#admit();
    };
  }

  #wait(wanted, signal) {
    return new Promise((resolve, reject) => {
      const place = { wanted, resolve: () => { signal?.removeEventListener("abort", leave); resolve(); } };
      const leave = () => {
        this.#waiting.splice(this.#waiting.indexOf(place), 1);
        reject(aborted(signal));
        this.#admit();
      };
      signal?.addEventListener("abort", leave, { once: true });
      this.#waiting.push(place);
    });
  }

  #admit() {
    while (this.#waiting.length > 0 && this.#waiting[0].wanted <= this.#free) {
      const { wanted, resolve } = this.#waiting.shift();
      this.#free -= wanted;
      resolve();
    }
  }
}

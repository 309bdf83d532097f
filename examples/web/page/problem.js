// What went wrong, and what to do about it.
import { FoveateError } from "../pkg/index.js";
import { element } from "./elements.js";

/** Shows an error; one of the package has its hint with it. */
export function show(error) {
  if (error?.name === "AbortError") return;
  element["problem-what"].textContent = sentence(error?.message ?? String(error));
  element["problem-hint"].textContent = error?.hint ?? "";
  element.problem.dataset.code = error?.code ?? "";
  element.problem.hidden = false;
}

export function clear() {
  element.problem.hidden = true;
}

/** An error of the page's own. */
export const problem = (code, message, hint, cause) => new FoveateError(code, message, { hint, cause });

const sentence = (text) => (/[.!?]$/.test(text) ? text : `${text}.`);

element["problem-close"].addEventListener("click", clear);

// The best classes, as bars; and in words, for those who do not see them.
import { element, made } from "./elements.js";

const ROWS = 5;
/** Milliseconds for which an answer has to hold before it is spoken, and between what is spoken. */
const [HOLDS, RESTS] = [700, 2500];

const percent = (score) => `${(100 * score).toFixed(1)} %`;

const rows = Array.from({ length: ROWS }, () => {
  const row = made("li");
  const [label, score] = [made("span", "", "label"), made("span", "", "score")];
  row.append(label, score);
  row.hidden = true;
  return { row, label, score };
});
const empty = made("li", "Nothing yet", "empty");
element.bars.append(empty, ...rows.map(({ row }) => row));

export function show(top) {
  empty.hidden = top.length > 0;
  rows.forEach(({ row, label, score }, at) => {
    const entry = top[at];
    row.hidden = !entry;
    if (!entry) return;
    label.textContent = entry.label;
    score.textContent = percent(entry.score);
    row.style.setProperty("--score", entry.score.toFixed(4));
  });
  if (top[0]) speak(top[0]);
}

export function clear() {
  show([]);
  held = said = undefined;
  element.spoken.textContent = "";
}

let held, since, said, when = -Infinity;

/** Says the best class when it is another than was said, has held for a while, and not too often. */
function speak({ label, score }) {
  const now = performance.now();
  if (label !== held) [held, since] = [label, now];
  const first = said === undefined;
  if (label === said || (!first && (now - since < HOLDS || now - when < RESTS))) return;
  [said, when] = [label, now];
  element.spoken.textContent = `${label}, ${Math.round(100 * score)} percent`;
}

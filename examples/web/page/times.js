// Times of frames: three clocks, as lines and as numbers.
import { element, made } from "./elements.js";
import { quantile, sort } from "./stats.js";

const KEPT = 240;
const CLOCKS = [
  { key: "gpu", name: "GPU", title: "by the GPU's own clock, one frame in eight", dash: [2, 3], style: "dotted" },
  { key: "run", name: "Wall", title: "from handing the frame over to its answer", dash: [], style: "solid" },
  { key: "total", name: "End to end", title: "from taking the picture to its names", dash: [7, 4], style: "dashed" },
];
const REDRAWN = 100;

/** Per clock: `[frame, milliseconds]` of the last frames. */
const samples = Object.fromEntries(CLOCKS.map(({ key }) => [key, []]));
let frames = 0, began, drawn = -Infinity, late;

const ms = (value) => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));

const rows = CLOCKS.map(({ key, name, title, style }) => {
  const row = made("tr");
  const head = made("th");
  head.scope = "row";
  const mark = made("span", "", "key");
  mark.style.borderTopStyle = style;
  mark.style.borderTopColor = `var(--${key})`;
  head.append(mark, name);
  head.title = title;
  const cells = Array.from({ length: 3 }, () => made("td", "–"));
  row.append(head, ...cells);
  element.times.tBodies[0].append(row);
  return { key, row, cells };
});

/** Takes a frame's times. A stamped frame took a detour: only the GPU's clock counts. */
export function add({ gpu, run, total }, { stamped }) {
  frames += 1;
  began ??= performance.now();
  const keep = (key, value) => {
    if (value === undefined) return;
    samples[key].push([frames, value]);
    while (samples[key].length && samples[key][0][0] <= frames - KEPT) samples[key].shift();
  };
  if (stamped) keep("gpu", gpu);
  if (!stamped || gpu === undefined) {
    keep("run", run);
    keep("total", total);
  }
  refresh();
}

/** Forgets all, for another network, device or source. */
export function clear() {
  for (const key of Object.keys(samples)) samples[key] = [];
  frames = 0;
  began = undefined;
  refresh();
}

function refresh() {
  const now = performance.now();
  clearTimeout(late);
  if (now - drawn < REDRAWN) {
    late = setTimeout(refresh, REDRAWN);
    return;
  }
  drawn = now;
  const quantiles = {};
  for (const { key, row, cells } of rows) {
    const values = samples[key].map(([, value]) => value);
    const sorted = sort(values);
    const shown = values.length ? [values.at(-1), quantile(sorted, 0.5), quantile(sorted, 0.99)] : [];
    cells.forEach((cell, at) => (cell.textContent = shown[at] === undefined ? "–" : ms(shown[at])));
    quantiles[key] = shown;
    // Without a clock of its own a device has no row.
    if (key === "gpu") row.hidden = values.length === 0;
  }
  const seconds = (now - began) / 1000;
  element.rate.textContent = frames > 1 ? `${frames} frames, ${(frames / seconds).toFixed(frames / seconds < 10 ? 1 : 0)} a second` : "";
  draw(quantiles);
}

/** The next of 1, 2, 5, 10, … */
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}

function draw(quantiles) {
  const canvas = element.graph;
  const [width, height, ratio] = [canvas.clientWidth, canvas.clientHeight, devicePixelRatio || 1];
  if (!width) return;
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
  const context = canvas.getContext("2d");
  const colours = getComputedStyle(document.documentElement);
  const colour = (name) => colours.getPropertyValue(`--${name}`);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);

  // Single frames that took far longer leave the picture at its top.
  const most = Math.max(...Object.values(quantiles).map(([, , p99]) => p99 ?? 0));
  const top = nice(Math.max(most * 1.1, 0.1));
  const [left, right, upper, lower] = [42, width - 4, 8, height - 8];
  const y = (value) => lower - (Math.min(value, top) / top) * (lower - upper);
  context.font = "12px system-ui, sans-serif";
  context.textAlign = "right";
  context.textBaseline = "middle";
  context.lineWidth = 1;
  for (const part of [0, 0.5, 1]) {
    context.strokeStyle = colour("line");
    context.fillStyle = colour("soft");
    context.beginPath();
    context.moveTo(left, Math.round(y(part * top)) + 0.5);
    context.lineTo(right, Math.round(y(part * top)) + 0.5);
    context.stroke();
    if (most) context.fillText(part ? `${+(part * top).toPrecision(3)}` : "0", left - 6, y(part * top));
  }
  const x = (frame) => right - ((frames - frame) / (KEPT - 1)) * (right - left);
  context.lineJoin = "round";
  context.lineWidth = 1.75;
  for (const { key, dash } of CLOCKS) {
    context.strokeStyle = context.fillStyle = colour(key);
    context.setLineDash(dash);
    context.beginPath();
    samples[key].forEach(([frame, value], at) => context[at ? "lineTo" : "moveTo"](x(frame), y(value)));
    context.stroke();
    if (samples[key].length === 1) {
      const [[frame, value]] = samples[key];
      context.fillRect(x(frame) - 4, y(value) - 2, 4, 4);
    }
  }
  context.setLineDash([]);
}

const again = () => {
  drawn = -Infinity;
  refresh();
};
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
new ResizeObserver(again).observe(element.graph);

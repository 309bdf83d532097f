// A clip for machines with no camera: the project's own pictures, one after the other, slowly coming nearer.
import { element } from "./elements.js";
import { frame } from "./visible.js";
import { problem } from "./problem.js";

const PICTURES = [
  "cat.jpg", "ship.png", "horse.png", "frog.png", "airplane.png", "dog.png", "automobile.png", "deer.png", "truck.png", "bird.png",
];
/** Milliseconds that a picture stays, and those of them in which it gives way to the next. */
const [STAYS, FADES] = [4000, 500];
/** How much nearer a picture comes. */
const NEARER = 0.12;

let pictures;

const loaded = () =>
  (pictures ??= Promise.all(PICTURES.map(async (name) => {
    const image = new Image();
    image.src = new URL(`../clip/${name}`, import.meta.url).href;
    try {
      await image.decode();
    } catch (cause) {
      pictures = undefined;
      throw problem("network", `The clip's picture ${name} could not be loaded`, "Check the connection and that the page's files are served together.", cause);
    }
    return image;
  })));

export async function openClip() {
  const images = await loaded();
  const canvas = element.clip;
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let [time, last, paused, request] = [0, undefined, false, 0];

  const paint = (image, nearer, alpha) => {
    const side = Math.min(image.naturalWidth, image.naturalHeight) / (1 + nearer);
    const [x, y] = [(image.naturalWidth - side) / 2, (image.naturalHeight - side) / 2];
    context.globalAlpha = alpha;
    context.drawImage(image, x, y, side, side, 0, 0, canvas.width, canvas.height);
  };
  const draw = (now) => {
    // A page that was hidden goes on where it was.
    if (!paused && last !== undefined) time += Math.min(now - last, 100);
    last = now;
    const [at, into] = [Math.floor(time / STAYS), time % STAYS];
    const [image, next] = [images[at % images.length], images[(at + 1) % images.length]];
    const fading = Math.max(0, (into - STAYS + FADES) / FADES);
    paint(image, still.matches ? 0 : (NEARER * into) / STAYS, 1);
    if (fading && !still.matches) paint(next, 0, fading);
    request = requestAnimationFrame(draw);
  };
  draw();

  return {
    name: "clip",
    element: canvas,
    still: false,
    async next() {
      await frame();
      return canvas;
    },
    pause(on) {
      paused = on;
    },
    stop() {
      cancelAnimationFrame(request);
    },
  };
}

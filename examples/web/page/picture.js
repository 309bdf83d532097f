// A picture that the user opens, drops or pastes.
import { element } from "./elements.js";
import { problem } from "./problem.js";

export async function openPicture(file) {
  const address = URL.createObjectURL(file);
  const image = element.picture;
  const before = image.getAttribute("src");
  try {
    image.src = address;
    await image.decode();
  } catch (cause) {
    URL.revokeObjectURL(address);
    if (before) image.src = before;
    else image.removeAttribute("src");
    const name = file.name ? `“${file.name}”` : "What was given";
    throw problem("unsupported-source", `${name} is no picture that this browser can show`, "Give a JPEG, PNG, WebP, AVIF or GIF file.", cause);
  }
  image.alt = file.name ? `Your picture, ${file.name}` : "Your picture";
  let shown = true;
  return {
    name: "picture",
    element: image,
    still: true,
    async next() {
      return image;
    },
    pause() {},
    stop() {
      if (!shown) return;
      shown = false;
      URL.revokeObjectURL(address);
      if (image.src === address) image.removeAttribute("src");
    },
  };
}

/** Calls back with pictures that are chosen, dropped on the page or pasted into it. */
export function onPicture(use) {
  const input = element["picture-file"];
  element["use-picture"].addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    if (input.files[0]) use(input.files[0]);
    // The same file may be chosen again.
    input.value = "";
  });

  const files = (data) => Array.from(data?.types ?? []).includes("Files");
  let depth = 0;
  const dropping = (by) => {
    depth = by ? Math.max(0, depth + by) : 0;
    document.body.classList.toggle("dropping", depth > 0);
  };
  document.addEventListener("dragenter", (event) => files(event.dataTransfer) && dropping(1));
  document.addEventListener("dragleave", (event) => files(event.dataTransfer) && dropping(-1));
  document.addEventListener("dragover", (event) => files(event.dataTransfer) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!files(event.dataTransfer)) return;
    event.preventDefault();
    dropping(0);
    if (event.dataTransfer.files[0]) use(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => {
    const file = Array.from(event.clipboardData?.files ?? []).find(({ type }) => type.startsWith("image/"));
    if (file) use(file);
  });
}

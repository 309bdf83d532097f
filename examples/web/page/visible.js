// A page that nobody sees computes nothing.

/** Settles when the page is seen. */
export function visible() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => {
    const look = () => {
      if (document.hidden) return;
      document.removeEventListener("visibilitychange", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
  });
}

/** The next frame of the screen; none comes while the page is hidden. */
export const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));

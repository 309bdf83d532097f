// The camera: permission, choice, and an end to its light when it is not looked at.
import { element } from "./elements.js";
import { frame } from "./visible.js";
import { problem } from "./problem.js";

const SIZE = { width: { ideal: 640 }, height: { ideal: 480 } };

const HINTS = {
  NotAllowedError: ["The camera was not allowed", "Allow it in the browser's site settings (the sign beside the address) and press Camera again. The clip and pictures work without."],
  NotFoundError: ["No camera was found", "Connect one and press Camera again, open a picture, or watch the clip."],
  NotReadableError: ["The camera is in use elsewhere or does not answer", "Close other programs that use it, then press Camera again."],
  OverconstrainedError: ["That camera is gone", "Choose another one."],
};

/** Opens a camera, any or the one of that id. `onEnd` is called if it goes away. */
export async function openCamera({ id, onEnd } = {}) {
  const devices = navigator.mediaDevices;
  if (!devices?.getUserMedia) {
    throw problem("insecure-context", "This page may not use the camera", "Serve it over https:// or from http://localhost: browsers hide cameras elsewhere.");
  }
  const which = id ? { deviceId: { exact: id } } : { facingMode: { ideal: "environment" } };
  const stream = await devices.getUserMedia({ video: { ...which, ...SIZE }, audio: false }).catch((cause) => {
    const [message, hint] = HINTS[cause.name] ?? [`The camera could not be opened: ${cause.message}`, "Press Camera to try again."];
    throw problem("unsupported-source", message, hint, cause);
  });
  const [track] = stream.getVideoTracks();
  const video = element.video;
  const stop = () => {
    stream.getTracks().forEach((each) => each.stop());
    if (video.srcObject === stream) video.srcObject = null;
  };
  try {
    video.srcObject = stream;
    await video.play();
  } catch (cause) {
    stop();
    throw problem("unsupported-source", `The camera shows nothing: ${cause.message}`, "Press Camera to try again.", cause);
  }
  track.addEventListener("ended", () => onEnd?.());
  const settings = track.getSettings();
  // Cameras that look at who sits there show them as mirrors do.
  video.classList.toggle("mirrored", settings.facingMode === "user");
  return {
    name: "camera",
    element: video,
    still: false,
    id: settings.deviceId,
    next: (signal) => nextFrame(video, signal),
    pause(on) {
      if (on) video.pause();
      else video.play().catch(() => {});
    },
    stop,
    get ended() {
      return track.readyState === "ended";
    },
  };
}

/** The video, when it has a frame that was not seen yet. */
async function nextFrame(video, signal) {
  if (video.requestVideoFrameCallback) {
    await new Promise((resolve) => {
      const done = () => {
        signal.removeEventListener("abort", done);
        resolve();
      };
      signal.addEventListener("abort", done);
      video.requestVideoFrameCallback(done);
    });
  } else {
    do await frame();
    while (video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA && !signal.aborted);
  }
  return video;
}

/** Cameras by name; browsers name them once one was allowed. */
export async function cameras() {
  const all = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  return all
    .filter(({ kind, deviceId }) => kind === "videoinput" && deviceId)
    .map(({ deviceId, label }, at) => ({ id: deviceId, label: label || `Camera ${at + 1}` }));
}

export const onCameras = (changed) => navigator.mediaDevices?.addEventListener?.("devicechange", changed);

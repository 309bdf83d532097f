// What a TypeScript user writes; compiled, never run.
import { BUILTIN, FoveateError, Session, type Answer, type ErrorCode, type Features, type Progress, type Top } from "../../examples/web/pkg/index.js";

export async function page(video: HTMLVideoElement, file: File, signal: AbortSignal): Promise<string[]> {
  const onProgress = ({ stage, done, total }: Progress) => console.log(stage, done / total);
  using session = await Session.load(file, { precision: "w8", device: "auto", features: "stages", onProgress, signal });
  const top: Top[] = await session.classify(video, { top: 3, signal });
  const answer: Answer = await session.run(video, { logits: true, gpuTime: true });
  const first: number | undefined = answer.logits?.[0];
  const features: Features = await session.features(await createImageBitmap(video));
  const [channels, height, width]: number[] = features.maps[0].shape;
  console.log(first, answer.timing.gpu ?? answer.timing.run, channels * height * width, session.device.kind === "webgpu");
  session.free();
  return top.map(({ label, score }) => `${label} ${score}`);
}

export async function failing(): Promise<ErrorCode | undefined> {
  try {
    await Session.load(new URL("model.pth", BUILTIN), { sha256: "0".repeat(64), inputSize: [320, 480] });
    await Session.load({ random: "repvgg-a0", seed: 1 }, { worker: false });
  } catch (error) {
    if (error instanceof FoveateError) return error.code;
    throw error;
  }
  // @ts-expect-error: there is no such precision.
  await Session.load(undefined, { precision: "int4" });
  // @ts-expect-error: a name is no picture.
  await (await Session.load()).classify("cat.png");
  return undefined;
}

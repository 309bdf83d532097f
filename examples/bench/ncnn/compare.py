"""Times foveate and ncnn (Vulkan) in turn on the same GPU and the same fused networks, in f32.

    cargo build --release --example gpu_times
    python -m venv /tmp/ncnn && /tmp/ncnn/bin/pip install ncnn pnnx onnx numpy
    /tmp/ncnn/bin/python examples/bench/ncnn/compare.py --device llvmpipe

Both run a few times each, alternately, so that whatever else the machine does meets both. The table has
medians and least times over all rounds and their ratios (below 1: foveate is faster). Outputs are not
compared: what ncnn's Python package returned from lavapipe differed from run to run, NaN included
(foveate's were the same each time, and are ONNX Runtime's; see ../ort). ncnn takes its first Vulkan device; --device is part of the name
of foveate's, and has to be the same one.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import ncnn
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "examples/bench/ort"))
from make_onnx import convert  # noqa: E402

NETWORKS = ["repvgg-a0", "repnext-m0", "repnext-m1", "repnext-m4", "mobileone-s0"]


class Foveate:
    """The example program, which runs as often as it is told and answers with times."""

    def __init__(self, program, model, device):
        pipe = subprocess.PIPE
        command = [program, "--serve", "--device", device, model]
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self.answer()  # its output

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit("gpu_times ended without an answer")
        return json.loads(line)

    def times(self, runs):
        self.process.stdin.write(f"{runs}\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Ncnn:
    def __init__(self, onnx, folder, shape):
        """Converts with pnnx, in f32, and loads for Vulkan without any smaller number format."""
        pnnx = pathlib.Path(sys.executable).parent / "pnnx"
        size = ",".join(map(str, shape))
        subprocess.run([pnnx, onnx, f"inputshape=[{size}]", "fp16=0"], cwd=folder, check=True, capture_output=True)
        stem = str(pathlib.Path(onnx).with_suffix("")).replace("-", "_")
        self.net = ncnn.Net()
        options = self.net.opt
        options.use_vulkan_compute = True
        for name in dir(options):
            if name.startswith(("use_fp16", "use_bf16", "use_int8")):
                setattr(options, name, False)
        if self.net.load_param(f"{stem}.ncnn.param") or self.net.load_model(f"{stem}.ncnn.bin"):
            sys.exit(f"ncnn does not load {stem}")
        count = int(np.prod(shape))
        wave = (np.arange(count) % 255).astype(np.float32) / np.float32(127) - np.float32(1)
        self.input = ncnn.Mat(wave.reshape(shape[1:]).copy())
        self.run()

    def run(self):
        extractor = self.net.create_extractor()
        extractor.input(self.net.input_names()[0], self.input)
        _, output = extractor.extract(self.net.output_names()[0])
        return np.array(output).ravel()

    def times(self, runs):
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            self.run()
            times.append((time.perf_counter() - start) * 1e3)
        return times


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--device", required=True)
    parser.add_argument("--program", default=ROOT / "target/release/examples/gpu_times")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    print(f"ncnn {ncnn.__version__} on {ncnn.get_gpu_info(0).device_name()}, foveate on {args.device}; milliseconds")
    print("| network | foveate median (least) | ncnn median (least) | ratio of medians | of least |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in args.networks:
            subprocess.run([args.program, "--save", folder, name], check=True)
            model, onnx = f"{folder}/{name}.safetensors", f"{folder}/{name}.onnx"
            convert(model, onnx)
            ours, theirs = Foveate(args.program, model, args.device), Ncnn(onnx, folder, [1, 3, 224, 224])
            times = [[], []]
            for _ in range(args.rounds):
                for side, kept in zip((ours, theirs), times):
                    kept.extend(side.times(args.runs))
            ours.close()
            (a, b), (x, y) = map(np.median, times), map(min, times)
            print(f"| {name} | {a:.1f} ({x:.1f}) | {b:.1f} ({y:.1f}) | {a / b:.2f} | {x / y:.2f} |", flush=True)


if __name__ == "__main__":
    main()

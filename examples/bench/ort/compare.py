"""Times foveate's CPU executor and ONNX Runtime's in turn, on the same fused networks.

    cargo build --release --no-default-features --example cpu_times
    python -m venv /tmp/ort && /tmp/ort/bin/pip install onnxruntime onnx numpy
    /tmp/ort/bin/python examples/bench/ort/compare.py --threads 2

Both run a few times each, alternately, so that whatever else the machine does meets both. The table has
medians and least times over all rounds and their ratios (below 1: foveate is faster), the processor time
per run (of all threads, also while they wait for each other), which other programs on the machine
disturb least, and how far the outputs are apart, of the largest logit.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime

from make_onnx import convert

NETWORKS = ["repvgg-a0", "repnext-m0", "repnext-m1", "repnext-m4", "mobileone-s0"]
ROOT = pathlib.Path(__file__).resolve().parents[3]


class Foveate:
    """The example program, which runs as often as it is told and answers with times."""

    def __init__(self, program, model, threads):
        environment = dict(os.environ, RAYON_NUM_THREADS=str(threads))
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([program, "--serve", model], stdin=pipe, stdout=pipe, text=True, env=environment)
        self.output = np.array(self.answer(), dtype=np.float32)

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit("cpu_times ended without an answer")
        return json.loads(line)

    def times(self, runs):
        self.process.stdin.write(f"{runs}\n")
        self.process.stdin.flush()
        return self.answer()

    def seconds(self):
        """Processor time so far."""
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Ort:
    def __init__(self, model, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        (self.input,) = self.session.get_inputs()
        # The same values as in cpu_times.rs.
        count = int(np.prod(self.input.shape))
        wave = (np.arange(count) % 255).astype(np.float32) / np.float32(127) - np.float32(1)
        self.feed = {self.input.name: wave.reshape(self.input.shape)}
        self.output = self.session.run(None, self.feed)[0].ravel()

    def seconds(self):
        """Processor time so far."""
        return time.process_time()

    def times(self, runs):
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            self.session.run(None, self.feed)
            times.append((time.perf_counter() - start) * 1e3)
        return times


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--runs", type=int, default=4, help="runs of each side per round")
    parser.add_argument("--program", default=str(ROOT / "target/release/examples/cpu_times"))
    args = parser.parse_args()
    print(f"onnxruntime {onnxruntime.__version__}, {args.threads} threads, {args.rounds} rounds of {args.runs} runs; milliseconds")
    print("| network | foveate median (least) | ORT median (least) | ratio | of least times | CPU time | ratio | outputs apart |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in args.networks:
            subprocess.run([args.program, "--save", folder, name], check=True)
            model, graph = f"{folder}/{name}.safetensors", f"{folder}/{name}.onnx"
            convert(model, graph)
            ours, theirs = Foveate(args.program, model, args.threads), Ort(graph, args.threads)
            apart = np.abs(ours.output - theirs.output).max() / np.abs(theirs.output).max()
            a, b = [], []
            start = ours.seconds(), theirs.seconds()
            for _ in range(args.rounds):
                a += ours.times(args.runs)
                # ORT's threads spin for a while after a run; let them stop.
                b += theirs.times(args.runs)
                time.sleep(0.05)
            cpu = [1e3 * (side.seconds() - start[i]) / len(a) for i, side in enumerate([ours, theirs])]
            ours.close()
            (x, y), (p, q) = (np.median(a), np.median(b)), (min(a), min(b))
            wall = f"{x:.1f} ({p:.1f}) | {y:.1f} ({q:.1f}) | {x / y:.2f} | {p / q:.2f}"
            print(f"| {name} | {wall} | {cpu[0]:.1f}, {cpu[1]:.1f} | {cpu[0] / cpu[1]:.2f} | {apart:.0e} |", flush=True)


if __name__ == "__main__":
    main()

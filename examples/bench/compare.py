"""Times foveate and another program in turn on the same fused networks with the same weights.

    cargo build --release --example times
    python -m venv /tmp/peers && /tmp/peers/bin/pip install onnxruntime ncnn pnnx onnx numpy
    /tmp/peers/bin/python examples/bench/compare.py ort
    /tmp/peers/bin/python examples/bench/compare.py ncnn --device llvmpipe
    cargo build --release --manifest-path examples/bench/burn/Cargo.toml
    /tmp/peers/bin/python examples/bench/compare.py burn --device llvmpipe
    /tmp/peers/bin/python examples/bench/compare.py torch --device nvidia       # pip install torch

Each side runs a few times, alternately, so that whatever else the machine does meets both. A run goes from the input
in memory to the output in memory. The table has medians and least times over all rounds and their ratios (below 1:
foveate is faster); the ratio of processor times (of all threads, also while they wait for each other), which other
programs on the machine disturb least; and how far the outputs are apart, of the largest value. --device is the one of
foveate's `times`; what a peer makes of it stands in peers/.
"""

import argparse
import datetime
import importlib
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

import numpy as np
from network import Network
from sides import Served, wave

ROOT = pathlib.Path(__file__).resolve().parents[2]
NETWORKS = ["repvgg-a0", "repnext-m0", "repnext-m1", "repnext-m4", "mobileone-s0"]
HEAD = ["network", "foveate (least), ms", "peer (least), ms", "ratio", "of least", "of CPU time", "outputs apart"]


def processor():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def row(name, ours, theirs, args):
    """One line of the table: both sides in turn."""
    sides, times = (ours, theirs), ([], [])
    start = [side.cpu_seconds() for side in sides]
    apart = 0.0
    for _ in range(args.rounds):
        for side, kept in zip(sides, times):
            kept.extend(side.times(args.runs))
        difference = np.abs(ours.output - theirs.output).max() / np.abs(theirs.output).max()
        apart = np.maximum(apart, difference)  # NaN stays
    cpu = [side.cpu_seconds() - before for side, before in zip(sides, start)]
    (a, b), (x, y) = map(np.median, times), map(min, times)
    ratios = [a / b, x / y, cpu[0] / cpu[1] if cpu[1] > 0 else float("nan")]
    return [name, f"{a:.1f} ({x:.1f})", f"{b:.1f} ({y:.1f})", *(f"{ratio:.2f}" for ratio in ratios), f"{apart:.0e}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=["ort", "ncnn", "burn", "torch"])
    parser.add_argument("networks", nargs="*", default=NETWORKS, help="names (random weights) or files")
    parser.add_argument("--device", help="for all peers but ort, which runs on the CPU")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of both sides, on the CPU")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--runs", type=int, default=3, help="runs of each side per round")
    parser.add_argument("--program", default=ROOT / "target/release/examples/times", type=pathlib.Path)
    args = parser.parse_intermixed_args()
    try:
        peer = importlib.import_module(f"peers.{args.peer}")
    except ImportError as error:
        parser.error(f"{error}; peers/{args.peer}.py says what to install")
    args.device = args.device or peer.DEVICE
    if args.device is None:
        parser.error(f"{args.peer} needs --device")
    if not args.program.exists():
        parser.error(f"there is no {args.program}: cargo build --release --example times")
    for index, name in enumerate(args.networks):
        with tempfile.TemporaryDirectory() as folder:
            if subprocess.run([args.program, "--save", folder, name]).returncode:
                sys.exit(1)
            (model,) = pathlib.Path(folder).glob("*.safetensors")
            theirs = peer.Peer(model, wave(Network(model).shape(args.batch)), args)
            command = [args.program, "--serve", "--device", args.device, "--batch", args.batch, model]
            ours = Served(command, {"RAYON_NUM_THREADS": str(args.threads)})
            if index == 0:
                print(f"{processor()}, {os.cpu_count()} cores, {platform.system()}, {datetime.date.today()}")
                print(f"foveate on {ours.device}; {theirs.device}; f32, batch {args.batch}, ", end="")
                print(f"{args.rounds} rounds of {args.runs} runs\n")
                print("| " + " | ".join(HEAD) + " |")
                print("|" + "---|" * len(HEAD))
            print("| " + " | ".join(row(name, ours, theirs, args)) + " |", flush=True)
            ours.close()
            theirs.close()


if __name__ == "__main__":
    main()

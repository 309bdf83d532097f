"""burn with its wgpu backend: cargo build --release --manifest-path examples/bench/burn/Cargo.toml"""

import os
import pathlib
import sys
import tomllib

from sides import Served

DEVICE = None
CRATE = pathlib.Path(__file__).resolve().parents[1] / "burn"


class Peer(Served):
    def __init__(self, model, input, args):
        program = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", CRATE / "target")) / "release/foveate-bench-burn"
        if not program.exists():
            sys.exit(f"there is no {program}: {__doc__}")
        super().__init__([program, "--serve", "--device", args.device, "--batch", args.batch, model])
        lock = tomllib.loads((CRATE / "Cargo.lock").read_text())
        versions = {package["name"]: package["version"] for package in lock["package"]}
        self.device = f"burn {versions['burn']} (wgpu {versions['wgpu']}) on {self.device}"

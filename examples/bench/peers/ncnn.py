"""ncnn through Vulkan, or with `--device cpu` on the CPU: pip install ncnn pnnx onnx numpy.

ncnn takes its first Vulkan device: see to it that it is the one named by --device. What its Python package returned
from lavapipe differed from run to run, NaN included: the last column shows it.
"""

import pathlib
import subprocess
import sys

import ncnn
import numpy as np
from make_onnx import convert
from sides import InProcess

DEVICE = None


class Peer(InProcess):
    def __init__(self, model, input, args):
        """Converts with pnnx, in f32, and loads without any smaller number format."""
        if args.batch != 1:
            sys.exit("ncnn has no batches: leave --batch out")
        onnx = model.with_suffix(".onnx")
        convert(model, onnx)
        pnnx = pathlib.Path(sys.executable).parent / "pnnx"
        size = ",".join(map(str, input.shape))
        command = [pnnx, onnx.name, f"inputshape=[{size}]", "fp16=0"]
        subprocess.run(command, cwd=model.parent, check=True, capture_output=True)
        stem = str(model.with_suffix("")).replace("-", "_")
        self.net = ncnn.Net()
        options = self.net.opt
        options.use_vulkan_compute = args.device != "cpu"
        options.num_threads = args.threads
        for name in dir(options):
            if name.startswith(("use_fp16", "use_bf16", "use_int8")):
                setattr(options, name, False)
        if self.net.load_param(f"{stem}.ncnn.param") or self.net.load_model(f"{stem}.ncnn.bin"):
            sys.exit(f"ncnn does not load {stem}")
        # A Mat of an array looks at its memory, which has to live: the copy is its own.
        self.input = ncnn.Mat(input[0]).clone()
        self.output = self.run()
        place = ncnn.get_gpu_info(0).device_name() if options.use_vulkan_compute else f"CPU, {args.threads} threads"
        self.device = f"ncnn {ncnn.__version__}, {place}"

    def run(self):
        extractor = self.net.create_extractor()
        extractor.input(self.net.input_names()[0], self.input)
        _, output = extractor.extract(self.net.output_names()[0])
        return np.array(output).ravel()

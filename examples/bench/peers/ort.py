"""ONNX Runtime on the CPU: pip install onnxruntime onnx numpy."""

import onnxruntime
from make_onnx import convert
from sides import InProcess

DEVICE = "cpu"


class Peer(InProcess):
    def __init__(self, model, input, args):
        onnx = model.with_suffix(".onnx")
        convert(model, onnx, args.batch)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = args.threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        self.feed = {"input": input}
        self.output = self.run()
        self.device = f"ONNX Runtime {onnxruntime.__version__}, CPU, {args.threads} threads"

    def run(self):
        return self.session.run(None, self.feed)[0].ravel()

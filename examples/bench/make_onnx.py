"""Writes the network of a foveate model file as ONNX: the same fused graph, the same weights.

    python make_onnx.py MODEL.safetensors MODEL.onnx

Needs numpy and onnx; see network.py for where a model file comes from.
"""

import sys

import numpy as np
import onnx
from network import Network
from onnx import TensorProto, helper, numpy_helper

# The first opset with Gelu as one operator, in its exact form.
OPSET = 20
# What that opset came with; readers of today take it, not all take what onnx writes by itself.
IR_VERSION = 9


class Writer:
    """Collects ONNX nodes; values and parameters are names."""

    def __init__(self):
        self.nodes = []
        self.constants = []

    def constant(self, array):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def emit(self, op, inputs, outputs=1, **attributes):
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, [name for name in inputs if name is not None], names, **attributes))
        return names if outputs > 1 else names[0]

    def conv(self, x, weight, bias, stride, padding, dilation, groups):
        return self.emit("Conv", [x, weight, bias], strides=stride, pads=padding * 2, dilations=dilation, group=groups)

    def linear(self, x, weight, bias):
        gemm = self.emit("Gemm", [self.emit("Flatten", [x]), weight, bias], transB=1)
        return self.emit("Reshape", [gemm, self.constant(np.array([0, -1, 1, 1], dtype=np.int64))])

    def activate(self, kind, x):
        return self.emit({"relu": "Relu", "gelu": "Gelu", "sigmoid": "Sigmoid"}[kind], [x])

    def add(self, xs):
        return self.emit("Add" if len(xs) == 2 else "Sum", xs)

    def multiply(self, x, gate):
        return self.emit("Mul", [x, gate])

    def mean(self, x):
        return self.emit("GlobalAveragePool", [x])

    def split(self, x, count):
        return self.emit("Split", [x], count, axis=1, num_outputs=count)

    def concat(self, xs):
        return self.emit("Concat", xs, axis=1)


def convert(source, target, batch=1):
    network, writer = Network(source), Writer()
    output = network.apply(writer, [writer.constant(array) for array in network.params], "input")

    def value(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    inputs = [value("input", network.shape(batch))]
    outputs = [value(output, network.shape(batch, network.graph["output"]))]
    graph = helper.make_graph(writer.nodes, network.graph["name"], inputs, outputs, writer.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    onnx.save(model, target)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    convert(*sys.argv[1:])

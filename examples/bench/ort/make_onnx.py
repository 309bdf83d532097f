"""Writes the network of a foveate model file as ONNX: the same fused graph, the same weights.

    python make_onnx.py MODEL.safetensors MODEL.onnx

Needs numpy and onnx. A model file comes from `foveate fuse`, or with random weights from
`cargo run --release --no-default-features --example cpu_times -- --save FOLDER repvgg-a0`.
"""

import json
import struct
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# The first opset with Gelu as one operator, in its exact form.
OPSET = 20
# What that opset came with; readers of today take it, not all take what onnx writes by itself.
IR_VERSION = 9


def read(path):
    """The graph (a dict) and the parameters (arrays) of a model file."""
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    graph = json.loads(header["__metadata__"]["foveate.graph"])

    def tensor(name):
        begin, end = header[name]["data_offsets"]
        values = np.frombuffer(data[8 + length + begin : 8 + length + end], dtype="<f4")
        return values.reshape(header[name]["shape"])

    return graph, [tensor(name) for name in graph["params"]]


class Writer:
    """Collects ONNX nodes for a graph's operators."""

    def __init__(self, params):
        self.params = params
        self.nodes = []
        self.constants = {}

    def constant(self, name, array):
        self.constants.setdefault(name, numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def param(self, index):
        return self.constant(f"param{index}", self.params[index])

    def emit(self, op, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def activated(self, kind, value, output):
        op = {"none": "Identity", "relu": "Relu", "gelu": "Gelu", "sigmoid": "Sigmoid"}[kind]
        return self.emit(op, [value], output)

    def conv(self, x, output, weight, bias, stride, padding, dilation=(1, 1), groups=1):
        inputs = [x, self.param(weight)] + ([] if bias is None else [self.param(bias)])
        pads = [padding[0], padding[1], padding[0], padding[1]]
        shape = list(self.params[weight].shape[2:])
        return self.emit(
            "Conv", inputs, output, kernel_shape=shape, strides=list(stride), pads=pads, dilations=list(dilation), group=groups
        )

    def depthwise(self, x, output, part, stride=1):
        channels, _, height, width = self.params[part["weight"]].shape
        padding = [(height - 1) // 2, (width - 1) // 2]
        return self.conv(x, output, part["weight"], part["bias"], [stride, stride], padding, groups=channels)

    def node(self, index, node, shapes):
        ((kind, op),) = node["op"].items()
        out, inputs = f"v{index}", [f"v{i}" for i in node["inputs"]]
        if kind == "Conv2d":
            value = self.conv(
                inputs[0], f"{out}_conv", op["weight"], op["bias"], op["stride"], op["padding"], op["dilation"], op["groups"]
            )
            if len(inputs) > 1:
                value = self.emit("Add", [value, inputs[1]], f"{out}_sum")
            self.activated(op["activation"], value, out)
        elif kind == "ChunkConv":
            chunk = node["shape"]["channels"] // 4
            sizes = self.constant(f"split{chunk}", np.full(4, chunk, dtype=np.int64))
            parts = [f"{out}_{part}" for part in "abcd"]
            self.nodes.append(helper.make_node("Split", [inputs[0], sizes], parts, axis=1))
            small = self.depthwise(parts[1], f"{out}_small", op["small"])
            medium = self.depthwise(parts[2], f"{out}_medium", op["medium"])
            wide = self.depthwise(parts[3], f"{out}_wide", op["wide"])
            tall = self.depthwise(wide, f"{out}_tall", op["tall"])
            self.emit("Concat", [parts[0], small, medium, tall], out, axis=1)
        elif kind == "CopyConv":
            small = self.depthwise(inputs[0], f"{out}_small", op["small"], stride=2)
            medium = self.depthwise(inputs[0], f"{out}_medium", op["medium"], stride=2)
            self.emit("Concat", [small, medium], out, axis=1)
        elif kind == "GlobalAvgPool":
            self.emit("GlobalAveragePool", inputs, out)
        elif kind == "Linear":
            flat = self.emit("Flatten", inputs, f"{out}_flat")
            bias = [] if op["bias"] is None else [self.param(op["bias"])]
            gemm = self.emit("Gemm", [flat, self.param(op["weight"])] + bias, f"{out}_gemm", transB=1)
            value = self.activated(op["activation"], gemm, f"{out}_activated")
            pixel = self.constant("pixel", np.array([0, -1, 1, 1], dtype=np.int64))
            self.emit("Reshape", [value, pixel], out)
        elif kind == "Gate":
            product = self.emit("Mul", inputs, f"{out}_product")
            self.activated(op["activation"], product, out)
        elif kind == "Add":
            total = self.emit("Sum", inputs, f"{out}_sum")
            self.activated(op["activation"], total, out)
        else:
            sys.exit(f"no translation of the operator {kind} (node {node['name']})")


def convert(source, target):
    graph, params = read(source)
    writer = Writer(params)
    for index, node in enumerate(graph["nodes"]):
        if index > 0:
            writer.node(index, node, graph["nodes"])

    def value(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, shape["channels"], shape["height"], shape["width"]])

    output = graph["output"]
    model = helper.make_graph(
        writer.nodes,
        graph["name"],
        [value("v0", graph["nodes"][0]["shape"])],
        [value(f"v{output}", graph["nodes"][output]["shape"])],
        list(writer.constants.values()),
    )
    model = helper.make_model(model, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    onnx.save(model, target)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    convert(*sys.argv[1:])

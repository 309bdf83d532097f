"""The fused network of a foveate model file, for building it in other programs.

A model file comes from `foveate fuse`, or with random weights from `times --save` (examples/times.rs). It is a
safetensors file whose metadata hold the graph. Needs numpy only.
"""

import json
import struct
import sys

import numpy as np


class Network:
    """A graph (as JSON has it) and its parameters (arrays)."""

    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        self.graph = json.loads(header["__metadata__"]["foveate.graph"])

        def tensor(name):
            begin, end = header[name]["data_offsets"]
            values = np.frombuffer(data[8 + length + begin : 8 + length + end], dtype="<f4")
            return values.reshape(header[name]["shape"])

        self.params = [tensor(name) for name in self.graph["params"]]

    def shape(self, batch, node=0):
        """Of a node's value; the first node is the input."""
        shape = self.graph["nodes"][node]["shape"]
        return [batch, shape["channels"], shape["height"], shape["width"]]

    def apply(self, ops, params, x):
        """The output for the input `x`, computed by `ops` from its own form of the parameters.

        `ops` has conv(x, weight, bias, stride, padding, dilation, groups), linear(x, weight, bias) from and to
        [n, c, 1, 1], activate(kind, x), add(xs), multiply(x, gate), mean(x) over pixels, split(x, count) and
        concat(xs) along channels. A missing bias is None.
        """
        values = [x]
        for node in self.graph["nodes"][1:]:
            values.append(self.node(ops, params, node, [values[i] for i in node["inputs"]]))
        return values[self.graph["output"]]

    def node(self, ops, params, node, inputs):
        ((kind, op),) = node["op"].items()

        def param(name):
            return None if op[name] is None else params[op[name]]

        def depthwise(part, x, stride=1):
            channels, _, height, width = self.params[op[part]["weight"]].shape
            weight, bias = params[op[part]["weight"]], params[op[part]["bias"]]
            return ops.conv(x, weight, bias, [stride, stride], [height // 2, width // 2], [1, 1], channels)

        x = inputs[0]
        if kind == "Conv2d":
            x = ops.conv(x, param("weight"), param("bias"), op["stride"], op["padding"], op["dilation"], op["groups"])
            x = ops.add([x, *inputs[1:]]) if inputs[1:] else x
        elif kind == "ChunkConv":
            a, b, c, d = ops.split(x, 4)
            return ops.concat([a, depthwise("small", b), depthwise("medium", c), depthwise("tall", depthwise("wide", d))])
        elif kind == "CopyConv":
            return ops.concat([depthwise("small", x, stride=2), depthwise("medium", x, stride=2)])
        elif kind == "GlobalAvgPool":
            return ops.mean(x)
        elif kind == "Linear":
            x = ops.linear(x, param("weight"), param("bias"))
        elif kind == "Gate":
            x = ops.multiply(*inputs)
        elif kind == "Add":
            x = ops.add(inputs)
        else:
            sys.exit(f"no translation of the operator {kind} (node {node['name']})")
        return x if op["activation"] == "none" else ops.activate(op["activation"], x)

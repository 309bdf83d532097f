"""Golden data of quantised networks: what PyTorch's fake quantisation makes of foveate's scales.

    foveate quantize assets/cifar10-qarepvgg.safetensors --calib tests/data/cifar10 -o tests/data/quant/qarepvgg.safetensors
    foveate quantize tests/data/golden/repnext_tiny.train.safetensors --calib tests/data/cifar10 -o tests/data/quant/repnext.safetensors
    python tests/data/quant/make.py tests/data/quant/*.safetensors

and mobileone.safetensors is tests/data/mobileone/cifar.safetensors at 64×64, quantised by default on tests/data/cifar10.

For each model file MODEL.safetensors it writes MODEL.io.safetensors: `logits`, of a seeded
input. Needs torch and safetensors. The graph is read from the file's metadata and run node by node: weights are integer · scale, every value
with a scale goes through torch.fake_quantize_per_tensor_affine (zero point 0, -127 to 127).
"""

import json
import sys

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file

SAMPLES = 4


def activate(x, name):
    return {"none": lambda x: x, "relu": F.relu, "gelu": F.gelu, "sigmoid": torch.sigmoid}[name](x)


def run(path):
    with safe_open(path, "pt") as file:
        graph = json.loads(file.metadata()["foveate.graph"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}

    def param(index):
        name = graph["params"][index]
        tensor = tensors[name]
        if tensor.dtype == torch.int8:
            scale = tensors["weight_scale:" + name]
            return tensor.float() * scale.reshape(-1, *[1] * (tensor.dim() - 1))
        return tensor

    def fake(x, key):
        if key not in tensors:
            return x
        return torch.fake_quantize_per_tensor_affine(x, tensors[key].item(), 0, -127, 127)

    def depthwise(x, part, stride=1):
        w = param(part["weight"])
        return F.conv2d(x, w, param(part["bias"]), stride, (w.shape[2] // 2, w.shape[3] // 2), 1, w.shape[0])

    def compute(node, x):
        (op, a), = node["op"].items() if isinstance(node["op"], dict) else [(node["op"], {})]
        if op == "Conv2d":
            y = F.conv2d(x[0], param(a["weight"]), param(a["bias"]), a["stride"], a["padding"], a["dilation"], a["groups"])
            return activate(y + x[1] if len(x) > 1 else y, a["activation"])
        if op == "Linear":
            return activate(F.linear(x[0].flatten(1), param(a["weight"]), param(a["bias"])), a["activation"])[..., None, None]
        if op == "GlobalAvgPool":
            return x[0].mean((2, 3), keepdim=True)
        if op == "Activate":
            return activate(x[0], a)
        if op == "Add":
            return activate(sum(x), a["activation"])
        if op == "ChunkConv":
            identity, s, m, l = x[0].chunk(4, 1)
            between = fake(depthwise(l, a["wide"]), "inner_scale:" + node["name"])
            return torch.cat([identity, depthwise(s, a["small"]), depthwise(m, a["medium"]), depthwise(between, a["tall"])], 1)
        if op == "CopyConv":
            return torch.cat([depthwise(x[0], a["small"], 2), depthwise(x[0], a["medium"], 2)], 1)
        raise NotImplementedError(op)

    shape = graph["nodes"][0]["shape"]
    # The same as in tests/quant/golden.rs.
    count = SAMPLES * shape["channels"] * shape["height"] * shape["width"]
    x = ((torch.arange(count) * 7919 % 1009).double() / 252.25 - 2).float()
    x = x.reshape(SAMPLES, shape["channels"], shape["height"], shape["width"])
    values = []
    for node in graph["nodes"]:
        y = x if not node["inputs"] else compute(node, [values[i] for i in node["inputs"]])
        values.append(fake(y, "activation_scale:" + node["name"]))
    save_file({"logits": values[graph["output"]].contiguous()}, path.replace(".safetensors", ".io.safetensors"))


with torch.no_grad():
    for path in sys.argv[1:]:
        if not path.endswith(".io.safetensors"):
            run(path)
            print(path)

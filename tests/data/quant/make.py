"""Golden data of quantised networks: what PyTorch's fake quantisation makes of foveate's scales.

    foveate quantize assets/cifar10-qarepvgg.safetensors --calib tests/data/cifar10 -o tests/data/quant/qarepvgg.safetensors
    foveate quantize tests/data/golden/repnext_tiny.train.safetensors --calib tests/data/cifar10 -o tests/data/quant/repnext.safetensors
    python tests/data/quant/make.py tests/data/quant/*.safetensors

and mobileone.safetensors is tests/data/mobileone/cifar.safetensors at 64×64, quantised by default on tests/data/cifar10.

For each model file MODEL.safetensors it writes MODEL.io.safetensors, of a seeded input. Needs torch and safetensors. The
graph is read from the file's metadata and run node by node: weights are integer · scale, every value with a scale goes
through torch.fake_quantize_per_tensor_affine (zero point 0, -127 to 127). Twice:

- `logits`: in float32.
- `exact`: in float64, so that a sum near the middle between two integers rounds as it should. What is added to sums,
  biases and residuals, is quantised to their scale too, that of the input times that of the weight: the file has it
  so, but for the last bits of its float32. And a sum in front of GELU is quantised to the 256 inputs that GELU's table
  has (zero point and scale as src/int8/table.rs says: it ends where the rounded output does not change any more).
"""

import json
import math
import sys

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file

SAMPLES = 4


def activate(x, name):
    return {"none": lambda x: x, "relu": F.relu, "gelu": F.gelu, "sigmoid": torch.sigmoid}[name](x)


def changes(name, scale):
    """The inputs between which the activation, rounded to that scale, changes."""

    def rounded(x):
        return (activate(torch.as_tensor(x, dtype=torch.float64), name) / scale).round().clamp(-127, 127)

    def edge(end):
        at = [end * (1 - i / 4096) for i in range(4097)]
        values = rounded(at)
        first = next((i for i in range(4097) if values[i] != values[0]), None)
        if first is None:
            return 0.0
        inside, outside = at[first], at[first - 1]
        for _ in range(60):
            middle = (inside + outside) / 2
            if rounded(middle) == values[0]:
                outside = middle
            else:
                inside = middle
        return outside

    far = 64 + 128 * scale
    return min(edge(-far), 0), max(edge(far), 0)


def on_table(x, name, scale):
    low, high = changes(name, scale)
    step = (high - low) / 254
    zero = math.ceil(-low / step)
    return ((x / step).round() + zero).clamp(0, 255).sub(zero) * step


def run(path, exact):
    with safe_open(path, "pt") as file:
        graph = json.loads(file.metadata()["foveate.graph"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}

    def param(index):
        name = graph["params"][index]
        tensor = tensors[name]
        dtype = torch.float64 if exact else torch.float32
        if tensor.dtype == torch.int8:
            scale = tensors["weight_scale:" + name]
            return tensor.to(dtype) * scale.to(dtype).reshape(-1, *[1] * (tensor.dim() - 1))
        return tensor.to(dtype)

    def fake(x, key):
        if key not in tensors:
            return x
        if exact:
            scale = tensors[key].double().item()
            return (x / scale).round().clamp(-127, 127) * scale
        return torch.fake_quantize_per_tensor_affine(x, tensors[key].item(), 0, -127, 127)

    def whole(x, unit):
        return (x / unit).round() * unit if exact else x

    def units(weight, key):
        """What one of the sums stands for, channel by channel."""
        scale = tensors["weight_scale:" + graph["params"][weight]].double().reshape(1, -1, 1, 1)
        return tensors[key].double() * scale

    def sums(y, node, activation):
        """What a convolution's sums become."""
        key = "activation_scale:" + node["name"]
        if exact and activation in ("gelu", "sigmoid") and key in tensors:
            y = on_table(y, activation, tensors[key].double().item())
        return activate(y, activation)

    def layer(x, a, key, residual=None, **how):
        """The sums of a convolution or linear layer whose input has the scale of that key."""
        w, unit = param(a["weight"]), units(a["weight"], key)
        y = F.conv2d(x, w if w.dim() == 4 else w[:, :, None, None], **how) + whole(param(a["bias"]).reshape(1, -1, 1, 1), unit)
        return y if residual is None else y + whole(residual, unit)

    def depthwise(x, part, key, stride=1):
        height, width = param(part["weight"]).shape[2:]
        return layer(x, part, key, stride=stride, padding=(height // 2, width // 2), groups=x.shape[1])

    def compute(node, x):
        (op, a), = node["op"].items() if isinstance(node["op"], dict) else [(node["op"], {})]
        key = "activation_scale:" + graph["nodes"][node["inputs"][0]]["name"]
        if op == "Conv2d":
            how = {name: a[name] for name in ("stride", "padding", "dilation", "groups")}
            return sums(layer(x[0], a, key, *x[1:], **how), node, a["activation"])
        if op == "Linear":
            return sums(layer(x[0], a, key), node, a["activation"])
        if op == "GlobalAvgPool":
            return x[0].mean((2, 3), keepdim=True)
        if op == "Activate":
            return activate(x[0], a)
        if op == "Add":
            return activate(sum(x), a["activation"])
        if op == "ChunkConv":
            identity, s, m, l = x[0].chunk(4, 1)
            inner = "inner_scale:" + node["name"]
            l = depthwise(fake(depthwise(l, a["wide"], key), inner), a["tall"], inner)
            return torch.cat([identity, depthwise(s, a["small"], key), depthwise(m, a["medium"], key), l], 1)
        if op == "CopyConv":
            return torch.cat([depthwise(x[0], a[part], key, 2) for part in ("small", "medium")], 1)
        raise NotImplementedError(op)

    shape = graph["nodes"][0]["shape"]
    # The same as in tests/quant/golden.rs.
    count = SAMPLES * shape["channels"] * shape["height"] * shape["width"]
    x = ((torch.arange(count) * 7919 % 1009).double() / 252.25 - 2).float()
    x = (x.double() if exact else x).reshape(SAMPLES, shape["channels"], shape["height"], shape["width"])
    values = []
    for node in graph["nodes"]:
        y = x if not node["inputs"] else compute(node, [values[i] for i in node["inputs"]])
        values.append(fake(y, "activation_scale:" + node["name"]))
    return values[graph["output"]].float().contiguous()


with torch.no_grad():
    for path in sys.argv[1:]:
        if not path.endswith(".io.safetensors"):
            logits = {"logits": run(path, False), "exact": run(path, True)}
            save_file(logits, path.replace(".safetensors", ".io.safetensors"))
            print(path)

"""Writes the checkpoints of this folder from the golden networks beside it, in every form in which
PyTorch users hold them. Needs torch and safetensors; written with torch 2.15.

    python generate.py
"""

import argparse
import collections
import pathlib
import types

import torch
from safetensors.torch import load_file
from torch import nn

HERE = pathlib.Path(__file__).parent
GOLDEN = HERE.parent / "golden"


class Branch(nn.Module):
    """A node of a tree of modules; whole modules of this class are pickled below."""

    def forward(self, x):
        # Something that uses every parameter.
        return x + sum(p.sum() for p in self.parameters())


def tree(tensors):
    """The state dict as a tree of modules, with real layers at its leaves."""
    root, groups = Branch(), collections.OrderedDict()
    for name, tensor in tensors.items():
        path, leaf = name.rsplit(".", 1)
        groups.setdefault(path, {})[leaf] = tensor
    for path, group in groups.items():
        node, parts = root, path.split(".")
        for part in parts[:-1]:
            if part not in node._modules:
                node.add_module(part, Branch())
            node = node._modules[part]
        node.add_module(parts[-1], layer(group))
    return root.eval()


def layer(group):
    weight, bias = group["weight"], "bias" in group
    if "running_mean" in group:
        module = nn.BatchNorm2d(len(weight))
    elif weight.dim() == 2:
        module = nn.Linear(weight.shape[1], weight.shape[0], bias)
    else:
        module = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2:], bias=bias)
    module = module.to(weight.dtype)
    module.load_state_dict({**module.state_dict(), **group})
    return module


def save(name, value, **options):
    torch.save(value, HERE / name, **options)


def trained(model):
    """An optimizer with momentum for the classifier, as a training script has it."""
    optimizer = torch.optim.SGD(model.linear.parameters(), lr=0.1, momentum=0.9)
    model.linear(torch.randn(2, model.linear.in_features)).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


def main():
    torch.manual_seed(0)
    fused = load_file(GOLDEN / "mobileone_tiny.deploy.safetensors")
    train = load_file(GOLDEN / "mobileone_tiny_se.train.safetensors")
    repnext = load_file(GOLDEN / "repnext_tiny.deploy.safetensors")
    other = collections.OrderedDict((name, 0.5 * tensor) for name, tensor in fused.items())

    save("state_dict.pth", tree(fused).state_dict())
    save("legacy.pth", tree(fused).state_dict(), _use_new_zipfile_serialization=False)
    save("prefix.pth", {"module." + name: tensor for name, tensor in fused.items()}, pickle_protocol=4)
    for dtype, suffix in [(torch.float16, "f16"), (torch.bfloat16, "bf16"), (torch.float64, "f64")]:
        save(f"{suffix}.pth", {name: tensor.to(dtype) for name, tensor in fused.items()})

    # What a training script leaves behind.
    checkpoint = {
        "epoch": 299,
        "arch": "mobileone_tiny_se",
        "state_dict": collections.OrderedDict(("module." + name, tensor) for name, tensor in train.items()),
        "best_acc1": torch.tensor(71.25),
        "optimizer": trained(tree(train)),
        "args": argparse.Namespace(lr=0.1, data=pathlib.PurePosixPath("/data"), amp=None),
        "losses": [0.5, 2**70, -1, True],
    }
    save("checkpoint.pth.tar", checkpoint)

    ema = {"model": other, "state_dict_ema": fused, "optimizer": {}, "epoch": 3}
    save("ema.pth", ema)
    flat = {"model." + name: tensor for name, tensor in other.items()}
    save("ema_flat.pth", {**flat, **{"model_ema." + name: tensor for name, tensor in fused.items()}})

    # Whole modules, as YOLOv6 saves them: halves inside a dictionary, or by themselves.
    save("module.pt", {"model": tree(fused).half(), "ema": None, "updates": 7, "epoch": -1})
    save("module_legacy.pt", nn.DataParallel(tree(fused)), _use_new_zipfile_serialization=False)

    # Views: transposed, strided, with an offset, one storage for all.
    views = collections.OrderedDict()
    total = torch.cat([tensor.flatten() for tensor in fused.values()])
    offset = 0
    for index, (name, tensor) in enumerate(fused.items()):
        view = total[offset : offset + tensor.numel()].view(tensor.shape)
        offset += tensor.numel()
        if tensor.dim() == 4 and index % 2 == 0:
            view = tensor.contiguous(memory_format=torch.channels_last)
        elif tensor.dim() == 2:
            view = tensor.t().contiguous().t()
        elif index % 3 == 0:
            view = torch.stack([tensor, tensor], -1)[..., 0]
        assert torch.equal(view, tensor)
        views[name] = nn.Parameter(view)
    save("views.pth", views)

    # torch.fx makes a class of its own, and pickles modules as a call with their attributes.
    graph = torch.fx.Graph()
    value = graph.placeholder("x")
    for path in dict.fromkeys(name.rsplit(".", 1)[0] for name in fused):
        value = graph.call_module(path, (value,))
    graph.output(value)
    save("fx.pt", torch.fx.GraphModule(tree(fused), graph))

    traced = torch.jit.trace(tree(fused), torch.zeros(1))
    traced.save(HERE / "traced.pt")
    # Freezing makes constants of the weights, which lose their names.
    torch.jit.freeze(torch.jit.trace(nn.Conv2d(3, 4, 3).eval(), torch.zeros(1, 3, 8, 8))).save(HERE / "frozen.pt")
    torch.jit.script(tree_for_script({name: tensor.half() for name, tensor in repnext.items()})).save(
        HERE / "repnext_tiny_fused.pt"
    )

    biggest = max(path.stat().st_size for path in HERE.iterdir())
    assert biggest < 260_000, biggest


def tree_for_script(tensors):
    """The tree with a `forward` that TorchScript's compiler understands."""
    root = tree(tensors)
    for module in root.modules():
        if isinstance(module, Branch):
            module.forward = types.MethodType(identity, module)
    return root


def identity(self, x):
    return x


if __name__ == "__main__":
    main()

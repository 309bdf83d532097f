"""Trains the small MobileOne beside this script: what 8 bits do to depthwise and pointwise layers in turn.

    python tests/data/mobileone/make.py CALIB TEST TEACHER OUT.safetensors

CALIB and TEST are folders of CIFAR-10 pictures, a folder per class; TEACHER is a RepVGG-style network for CIFAR-10 in
training form (S4, as in tests/data/cifar). MobileOne is built as in its official code (Vasu et al. 2023): four
convolutions to a block, a scale branch, a skip. Pictures are enlarged to 64×64. It learns the teacher's answers on cuts
and mixtures of the few CALIB pictures. The file holds the fused network, in f16. Needs torch, safetensors, numpy, pillow.
"""

import os
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file

MEAN = torch.tensor([0.4914, 0.4822, 0.4465]).reshape(1, 3, 1, 1)
STD = torch.tensor([0.2470, 0.2435, 0.2616]).reshape(1, 3, 1, 1)
STEM, STAGES = 24, [(1, 24), (2, 48), (4, 96), (1, 160)]
BRANCHES = 4
STEPS, BATCH = int(os.environ.get("STEPS", 900)), 64


def pictures(folder):
    images, classes = [], []
    for number, name in enumerate(sorted(os.listdir(folder))):
        for file in sorted(os.listdir(os.path.join(folder, name))):
            images.append(np.asarray(Image.open(os.path.join(folder, name, file)).convert("RGB")))
            classes.append(number)
    return torch.tensor(np.stack(images)).permute(0, 3, 1, 2).float() / 255, torch.tensor(classes)


class Teacher:
    """QARepVGG (S4): batch norm on the 3×3 alone, and after the sum."""

    def __init__(self, file):
        self.w = load_file(file)

    def norm(self, x, name):
        w = self.w
        return F.batch_norm(x, w[name + ".running_mean"], w[name + ".running_var"], w[name + ".weight"], w[name + ".bias"])

    def block(self, x, name, stride):
        y = self.norm(F.conv2d(x, self.w[name + ".rbr_dense.conv.weight"], None, stride, 1), name + ".rbr_dense.bn")
        y = y + F.conv2d(x, self.w[name + ".rbr_1x1.conv.weight"], self.w.get(name + ".rbr_1x1.conv.bias"), stride)
        if x.shape == y.shape:
            y = y + x
        return F.relu(self.norm(y, name + ".bn"))

    def __call__(self, x):
        x = self.block((x - MEAN) / STD, "stage0", 1)
        for stage, blocks in enumerate([2, 3, 1], 1):
            for block in range(blocks):
                x = self.block(x, f"stage{stage}.{block}", 2 if block == 0 else 1)
        return F.linear(x.mean((2, 3)), self.w["linear.weight"], self.w["linear.bias"])


class Block(nn.Module):
    def __init__(self, into, out, kernel, stride, groups, branches):
        super().__init__()

        def branch(kernel):
            conv = nn.Conv2d(into, out, kernel, stride, kernel // 2, groups=groups, bias=False)
            return nn.Sequential(conv, nn.BatchNorm2d(out))

        self.groups, self.stride, self.kernel = groups, stride, kernel
        self.convs = nn.ModuleList(branch(kernel) for _ in range(branches))
        self.scale = branch(1) if kernel > 1 else None
        self.skip = nn.BatchNorm2d(into) if into == out and stride == 1 else None

    def forward(self, x):
        y = sum(conv(x) for conv in self.convs)
        if self.scale is not None:
            y = y + self.scale(x)
        if self.skip is not None:
            y = y + self.skip(x)
        return F.relu(y)

    def fused(self):
        """Kernel and bias, in f64."""
        def folded(weight, norm):
            factor = (norm.weight / (norm.running_var + norm.eps).sqrt()).double()
            return weight.double() * factor.reshape(-1, 1, 1, 1), norm.bias.double() - norm.running_mean.double() * factor

        parts = [folded(conv[0].weight, conv[1]) for conv in self.convs]
        middle = [self.kernel // 2] * 4
        if self.scale is not None:
            weight, bias = folded(self.scale[0].weight, self.scale[1])
            parts.append((F.pad(weight, middle), bias))
        if self.skip is not None:
            out, per_group = self.convs[0][0].weight.shape[:2]
            weight = torch.zeros(out, per_group, 1, 1)
            weight[torch.arange(out), torch.arange(out) % per_group] = 1
            weight, bias = folded(weight, self.skip)
            parts.append((F.pad(weight, middle), bias))
        return sum(part[0] for part in parts), sum(part[1] for part in parts)


class MobileOne(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleDict({"stage0": Block(3, STEM, 3, 2, 1, 1)})
        width = STEM
        for stage, (pairs, out) in enumerate(STAGES, 1):
            for pair in range(pairs):
                stride = 2 if pair == 0 else 1
                self.blocks[f"stage{stage}/{2 * pair}"] = Block(width, width, 3, stride, width, BRANCHES)
                self.blocks[f"stage{stage}/{2 * pair + 1}"] = Block(width, out, 1, 1, 1, BRANCHES)
                width = out
        self.linear = nn.Linear(width, 10)

    def forward(self, x):
        x = F.interpolate((x - MEAN) / STD, scale_factor=2, mode="bilinear", align_corners=False)
        for block in self.blocks.values():
            x = block(x)
        return self.linear(x.mean((2, 3)))

    def state(self):
        state = {"linear.weight": self.linear.weight, "linear.bias": self.linear.bias}
        for name, block in self.blocks.items():
            weight, bias = block.fused()
            name = name.replace("/", ".") + ".reparam_conv"
            state[name + ".weight"], state[name + ".bias"] = weight, bias
        return {name: tensor.detach().half().contiguous() for name, tensor in state.items()}


def augmented(images):
    x = images[torch.randint(len(images), (BATCH,))]
    dx, dy = torch.randint(0, 9, (2,)).tolist()
    x = F.pad(x, [4] * 4, mode="reflect")[:, :, dy : dy + 32, dx : dx + 32]
    x = torch.where(torch.rand(BATCH, 1, 1, 1) < 0.5, x.flip(3), x)
    mix = torch.rand(BATCH, 1, 1, 1) * (torch.rand(BATCH, 1, 1, 1) < 0.6)
    x = x * (1 - mix / 2) + x.roll(1, 0) * mix / 2
    return (x * (0.8 + 0.4 * torch.rand(BATCH, 1, 1, 1))).clamp(0, 1)


def accuracy(model, images, classes):
    with torch.no_grad():
        return sum((model(x).argmax(1) == y).sum().item() for x, y in zip(images.split(100), classes.split(100))) / len(classes)


def main(calib, test, teacher, out):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    (images, _), (tests, truth) = pictures(calib), pictures(test)
    teacher, model = Teacher(teacher), MobileOne().to(memory_format=torch.channels_last)
    print("teacher", accuracy(teacher, tests, truth), flush=True)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, 0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for step in range(STEPS):
        x = augmented(images)
        with torch.no_grad():
            target = (teacher(x) / 2).softmax(1)
        x = x.contiguous(memory_format=torch.channels_last)
        loss = F.cross_entropy(model(x) / 2, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 300 == 299:
            model.eval()
            print(step + 1, loss.item(), accuracy(model, tests, truth), flush=True)
            save_file(model.state(), out)
            model.train()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Both published forms of the paper's MobileFaceNet in PyTorch, to compare embeddings with.

Needs torch and numpy. Written from the tensor shapes, from model-y1's graph (`-symbol.json`) and from Table 1 of
arXiv 1804.07573; shares no code with the networks it is compared with.

    python mobilefacenet_paper.py                 golden numbers of made-up weights
    python mobilefacenet_paper.py y1 FILE         golden numbers of real ones
    python mobilefacenet_paper.py 112x96 FILE
"""

import json
import struct
import sys

import numpy as np
import torch
from torch.nn import functional as F

STAGES = [(64, 128, 64, 4), (64, 256, 128, 6), (128, 512, 128, 2)]


def read(path):
    """The tensors of a .safetensors file."""
    data = open(path, "rb").read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    at = lambda entry: data[8 + length + entry["data_offsets"][0] : 8 + length + entry["data_offsets"][1]]
    array = lambda entry: np.frombuffer(at(entry), "<f4").reshape(entry["shape"]).copy()
    return {name: torch.from_numpy(array(entry)) for name, entry in header.items()}


class Y1:
    """insightface's model-y1: MXNet's names, eps 1e-3, the last one 2e-5 with γ fixed at 1."""

    columns = slice(0, 112)

    def __init__(self, tensors):
        self.t = tensors

    def norm(self, x, name, eps=1e-3):
        t = lambda leaf: self.t[f"{name}_{leaf}"]
        return F.batch_norm(x, t("moving_mean"), t("moving_var"), t("gamma"), t("beta"), False, 0.0, eps)

    def linear(self, x, name, stride=1, padding=0, groups=1):
        x = F.conv2d(x, self.t[f"{name}_conv2d_weight"], None, stride, padding, 1, groups)
        return self.norm(x, f"{name}_batchnorm")

    def active(self, x, name, **geometry):
        return F.prelu(self.linear(x, name, **geometry), self.t[f"{name}_relu_gamma"])

    def bottleneck(self, x, name, stride):
        x = self.active(x, f"{name}_conv_sep")
        x = self.active(x, f"{name}_conv_dw", stride=stride, padding=1, groups=x.shape[1])
        return self.linear(x, f"{name}_conv_proj")

    def __call__(self, x):
        x = self.active(x, "conv_1", stride=2, padding=1)
        x = self.active(x, "conv_2_dw", padding=1, groups=64)
        for down, rest, (_, _, _, count) in zip(["dconv_23", "dconv_34", "dconv_45"], ["res_3", "res_4", "res_5"], STAGES):
            x = self.bottleneck(x, down, 2)
            for block in range(count):
                x = x + self.bottleneck(x, f"{rest}_block{block}", 1)
        x = self.active(x, "conv_6sep")
        x = self.linear(x, "conv_6dw7_7", groups=512).flatten(1)
        x = F.linear(x, self.t["fc1_weight"], self.t["pre_fc1_bias"])
        mean, var, beta = (self.t[f"fc1_{leaf}"] for leaf in ["moving_mean", "moving_var", "beta"])
        return F.batch_norm(x, mean, var, torch.ones_like(beta), beta, False, 0.0, 2e-5)


class Of112x96:
    """Xiaoccer's: torch's names, eps 1e-5, columns 8..104."""

    columns = slice(8, 104)

    def __init__(self, tensors):
        self.t = tensors

    def step(self, x, conv, norm, prelu=None, **geometry):
        x = F.conv2d(x, self.t[f"{conv}.weight"], **geometry)
        t = lambda leaf: self.t[f"{norm}.{leaf}"]
        x = F.batch_norm(x, t("running_mean"), t("running_var"), t("weight"), t("bias"))
        return F.prelu(x, self.t[f"{prelu}.weight"]) if prelu else x

    def part(self, x, name, active=True, **geometry):
        return self.step(x, f"{name}.conv", f"{name}.bn", f"{name}.prelu" if active else None, **geometry)

    def bottleneck(self, x, index, stride):
        at = lambda layer: f"blocks.{index}.conv.{layer}"
        x = self.step(x, at(0), at(1), at(2))
        x = self.step(x, at(3), at(4), at(5), stride=stride, padding=1, groups=x.shape[1])
        return self.step(x, at(6), at(7))

    def __call__(self, x):
        x = self.part(x, "conv1", stride=2, padding=1)
        x = self.part(x, "dw_conv1", padding=1, groups=64)
        index = 0
        for _, _, _, count in STAGES:
            x = self.bottleneck(x, index, 2)
            for block in range(index + 1, index + 1 + count):
                x = x + self.bottleneck(x, block, 1)
            index += 1 + count
        x = self.part(x, "conv2")
        x = self.part(x, "linear7", active=False, groups=512)
        return self.part(x, "linear1", active=False).flatten(1)


def shapes(kind):
    """Names and shapes of a file."""
    out, mxnet = {}, kind is Y1

    def norm(name, channels):
        leaves = ["gamma", "beta", "moving_mean", "moving_var"] if mxnet else ["weight", "bias", "running_mean", "running_var"]
        out.update({f"{name}{'_' if mxnet else '.'}{leaf}": [channels] for leaf in leaves})

    def part(name, shape, active=True):
        names = [f"{name}_conv2d", f"{name}_batchnorm", f"{name}_relu_gamma"] if mxnet else [f"{name}.conv", f"{name}.bn", f"{name}.prelu.weight"]
        layer(names, shape, active)

    def layer(names, shape, active):
        out[names[0] + ("_weight" if mxnet else ".weight")] = shape
        norm(names[1], shape[0])
        if active:
            out[names[2]] = [shape[0]]

    def bottleneck(name, inputs, inner, outputs):
        every = [[inner, inputs, 1, 1], [inner, 1, 3, 3], [outputs, inner, 1, 1]]
        for place, shape in enumerate(every):
            if mxnet:
                part(f"{name}_{['conv_sep', 'conv_dw', 'conv_proj'][place]}", shape, place < 2)
            else:
                at = lambda index: f"{name}.conv.{3 * place + index}"
                layer([at(0), at(1), at(2) + ".weight"], shape, place < 2)

    part("conv_1" if mxnet else "conv1", [64, 3, 3, 3])
    part("conv_2_dw" if mxnet else "dw_conv1", [64, 1, 3, 3])
    index = 0
    for number, (inputs, inner, outputs, count) in enumerate(STAGES):
        bottleneck(["dconv_23", "dconv_34", "dconv_45"][number] if mxnet else f"blocks.{index}", inputs, inner, outputs)
        for block in range(count):
            bottleneck(f"res_{3 + number}_block{block}" if mxnet else f"blocks.{index + 1 + block}", outputs, 2 * outputs, outputs)
        index += 1 + count
    part("conv_6sep" if mxnet else "conv2", [512, 128, 1, 1])
    part("conv_6dw7_7" if mxnet else "linear7", [512, 1, 7, 7 if mxnet else 6], False)
    if mxnet:
        out.update({"fc1_weight": [128, 512], "pre_fc1_bias": [128]})
        norm("fc1", 128)
    else:
        part("linear1", [128, 512, 1, 1], False)
    return out


def made_up(kind):
    """Weights by formula: u(i) = (i·2654435761 mod 2³²)/2³² − 1/2 for the i-th number, counted through all names in order."""
    tensors, first = {}, 0
    for name, shape in sorted(shapes(kind).items()):
        count = int(np.prod(shape))
        u = ((first + np.arange(count, dtype=np.uint64)) * 2654435761 % 2**32) / 2**32 - 0.5
        first += count
        if name == "fc1_gamma":
            values = np.ones(count)
        elif name.endswith(("var", "gamma")) or len(shape) == 1 and name.endswith("weight"):
            values = 1 + 0.5 * u  # variances, γ and slopes
        elif len(shape) == 1:
            values = 0.2 * u  # β, means and biases
        else:
            values = u * (12 / np.prod(shape[1:])) ** 0.5  # weights of variance 1/fan in
        tensors[name] = torch.from_numpy(values.astype(np.float32).reshape(shape))
    return tensors


def pixels():
    """A picture by formula: (37·x + 101·y + 59·c + x·y) mod 256, channels first."""
    c, y, x = np.meshgrid(np.arange(3), np.arange(112), np.arange(112), indexing="ij")
    return (37 * x + 101 * y + 59 * c + x * y) % 256


def golden(kind, tensors):
    assert {name: list(tensor.shape) for name, tensor in tensors.items()} == shapes(kind)
    x = torch.from_numpy((pixels() - 127.5) / 128).double()[None, :, :, kind.columns]
    y = kind({name: tensor.double() for name, tensor in tensors.items()})(x)[0]
    learnt = sum(t.numel() for name, t in tensors.items() if "moving" not in name and "running" not in name)
    print(kind.__name__, len(tensors), "tensors", learnt, "parameters", "norm", y.norm().item())
    print("    ", [round(value, 6) for value in y[:8].tolist()])


if __name__ == "__main__":
    kinds = {"y1": Y1, "112x96": Of112x96}
    if sys.argv[1:]:
        golden(kinds[sys.argv[1]], read(sys.argv[2]))
    else:
        for kind in kinds.values():
            golden(kind, made_up(kind))

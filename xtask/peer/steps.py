"""Repeats training steps of ours in PyTorch: the same weights, batches and configuration in, losses out.

    python steps.py JOBS.json

JOBS.json is a list of {"input", "output", "dtype"}. An input holds `network.NAME`, `head.NAME`, `images`
(T, B, 3, S, S) and `labels` (T, B), with `config`, `total` and `steps_per_epoch` as JSON in its metadata; an output gets `losses` and `norms` (T),
`velocity.NAME` after the first step of SGD, and `network.NAME` and `head.NAME` after the last.

Knows nothing of how the other side computes.
"""

import json
import sys

import numpy
import torch

import losses
import networks
import recipe
import tensors

TYPES = {"f32": torch.float32, "f64": torch.float64}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        jobs = json.load(file)
    for job in jobs:
        run(job)


def run(job):
    dtype = TYPES[job["dtype"]]
    given, metadata = tensors.load(job["input"])
    config = json.loads(metadata["config"])
    recipe.check(config)
    network, head = begin(config, given, dtype)
    sgd = recipe.optimizer(config, network, head)
    total, per_epoch = int(metadata["total"]), int(metadata["steps_per_epoch"])
    result = {"losses": [], "norms": []}
    for index, labels in enumerate(given["labels"]):
        images = torch.from_numpy(given["images"][index].copy()).to(dtype)
        batch = images, torch.from_numpy(labels.astype(numpy.int64))
        loss, norm = recipe.step(config, network, head, sgd, batch, (index, total, per_epoch))
        result["losses"].append(loss)
        result["norms"].append(norm)
        if index == 0:
            first = velocities(network, head, sgd)
    output = {name: numpy.array(values, dtype=numpy.float64) for name, values in result.items()}
    tensors.save(job["output"], output | first | state("network", network) | state("head", head))
    print(f"  torch {torch.__version__} {job['dtype']} {job['output']}", file=sys.stderr)


def begin(config, given, dtype):
    """Network and head with the given weights, in training mode."""
    network = networks.build(config["model"])
    network.load_state_dict(part(given, "network."))
    head = losses.build(config["loss"], part(given, "head."))
    return network.to(dtype).train(), head.to(dtype).train()


def part(given, prefix):
    """The tensors under a prefix, without it."""
    here = {name: values for name, values in given.items() if name.startswith(prefix)}
    return {name[len(prefix) :]: torch.from_numpy(values.copy()) for name, values in here.items()}


def state(prefix, module):
    """A module's entries as arrays, under a prefix."""
    return {f"{prefix}.{name}": values.detach().numpy() for name, values in module.state_dict().items()}


def velocities(network, head, sgd):
    """The momentum of every trained parameter, for SGD: after the first step the gradient and the decay."""
    named = [*network.named_parameters(), *head.named_parameters()]
    buffers = {name: sgd.state[parameter].get("momentum_buffer") for name, parameter in named}
    return {f"velocity.{name}": buffer.numpy().copy() for name, buffer in buffers.items() if buffer is not None}


if __name__ == "__main__":
    main()

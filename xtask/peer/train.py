"""Trains in PyTorch what a configuration of ours says, on the same images, and embeds the faces to verify.

    python train.py JOBS.json

JOBS.json is a list of {"input", "output", "images", "faces"}, the latter two lists of paths. An input holds
`network.NAME`, `head.NAME`, `labels` of the images, and `indices` and `flips` (T, B) of every batch, with `config`,
`total` and `steps_per_epoch` as JSON in its metadata; an output gets `losses` (T), and `embeddings` and `mirrored`
(faces, D).

Knows nothing of how the other side computes.
"""

import json
import sys
import time

import numpy
import torch
from PIL import Image

import recipe
import tensors
from steps import begin

# (x − 127.5)/this.
DEVIATIONS = {"127.5": 127.5, "128": 128.0}
LINES_EVERY = 20.0


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        jobs = json.load(file)
    pictures = {}
    for job in jobs:
        run(job, pictures)


def run(job, pictures):
    given, metadata = tensors.load(job["input"])
    config = json.loads(metadata["config"])
    check(config)
    torch.manual_seed(config["seed"])
    network, head = begin(config, given, torch.float32)
    images = read(job["images"], pictures)
    total, per_epoch = int(metadata["total"]), int(metadata["steps_per_epoch"])
    losses = train(config, network, head, given, images, total, per_epoch, job["output"])
    faces = read(job["faces"], pictures)
    embeddings, mirrored = embed(config, network, faces)
    losses = numpy.array(losses, dtype=numpy.float64)
    tensors.save(job["output"], {"losses": losses, "embeddings": embeddings, "mirrored": mirrored})


def check(config):
    """Refuses what the peer does not do."""
    recipe.check(config)
    if config["data"]["normalise"] not in DEVIATIONS:
        raise SystemExit(f"data.normalise: the peer has 127.5 and 128, not `{config['data']['normalise']}`")
    if any(strength != 0.0 for strength in config["data"]["augmentation"].values()):
        raise SystemExit("data.augmentation: the peer mirrors images and does nothing else; set the strengths to 0")


def read(paths, pictures):
    """The images (N, H, W, 3), each decoded once."""
    for path in paths:
        if path not in pictures:
            with Image.open(path) as image:
                pictures[path] = numpy.asarray(image.convert("RGB"))
    return [pictures[path] for path in paths]


def train(config, network, head, given, images, total, per_epoch, name):
    """All steps; the losses."""
    sgd = recipe.optimizer(config, network, head)
    labels = given["labels"].astype(numpy.int64)
    losses, last, done = [], time.monotonic(), 0
    for step, (indices, flips) in enumerate(zip(given["indices"], given["flips"])):
        batch = normalised(config, [images[index] for index in indices], flips), torch.from_numpy(labels[indices])
        loss, _ = recipe.step(config, network, head, sgd, batch, (step, total, per_epoch))
        losses.append(loss)
        done += len(indices)
        if LINES_EVERY <= time.monotonic() - last:
            rate, last, done = done / (time.monotonic() - last), time.monotonic(), 0
            print(f"  {name}: step {step + 1} of {total}, loss {loss:.2f}, {rate:.0f} img/s", file=sys.stderr)
    return losses


def normalised(config, images, flips):
    """Images (B, 3, H, W) as the network takes them, mirrored where `flips` is 1."""
    pixels = torch.from_numpy(numpy.stack(images)).permute(0, 3, 1, 2)
    pixels = torch.where(torch.from_numpy(flips.astype(bool))[:, None, None, None], pixels.flip(3), pixels)
    return (pixels.to(torch.float32) - 127.5) / DEVIATIONS[config["data"]["normalise"]]


@torch.no_grad()
def embed(config, network, faces):
    """Embeddings of the faces and of their mirror images."""
    network.eval()
    size = config["eval"]["batch_size"]
    sides = ([], [])
    for first in range(0, len(faces), size):
        batch = faces[first : first + size]
        for side, mirror in zip(sides, (0, 1)):
            images = normalised(config, batch, numpy.full(len(batch), mirror))
            side.append(network(images).numpy())
    return tuple(numpy.concatenate(side) for side in sides)


if __name__ == "__main__":
    main()

"""What a training step does with gradients: schedule, clipping, optimiser, all of them torch's where torch has them.

Knows no network and no loss; it takes the sections of our configuration.
"""

import math

import torch


def learning_rate(config, step, total, steps_per_epoch):
    """The rate of `step` out of `total`: a linear warm-up, then the curve."""
    schedule = config["schedule"]
    warmup = rounded(schedule["warmup_epochs"] * steps_per_epoch)
    ramp = (step + 1) / (warmup + 1) if step < warmup else 1.0
    done = min(max(step - warmup, 0) / max(total - warmup, 1), 1.0)
    return config["optimizer"]["learning_rate"] * ramp * curve(schedule, step, done, steps_per_epoch)


def curve(schedule, step, done, steps_per_epoch):
    """The share of the full rate after the share `done` of the steps behind the warm-up."""
    if schedule["name"] == "constant":
        return 1.0
    if schedule["name"] == "polynomial":
        return (1.0 - done) ** schedule["power"]
    if schedule["name"] == "cosine":
        floor = schedule["floor"]
        return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * done))
    passed = sum(rounded(epoch * steps_per_epoch) <= step for epoch in schedule["milestones"])
    return schedule["factor"] ** passed


def rounded(value):
    """To the nearest whole number, halves upwards."""
    return math.floor(value + 0.5)


def optimizer(config, network, head, fused=None):
    """The optimiser of everything that is trained; a frozen γ is neither moved nor decayed."""
    settings = config["optimizer"]
    trained = [parameter for module in (network, head) for parameter in module.parameters() if parameter.requires_grad]
    rate, decay = settings["learning_rate"], settings["weight_decay"]
    if settings["name"] == "sgd":
        return torch.optim.SGD(trained, rate, momentum=settings["momentum"], weight_decay=decay, fused=fused)
    betas = (settings["beta1"], settings["beta2"])
    return torch.optim.AdamW(trained, rate, betas, settings["eps"], decay)


def clip(config, network):
    """Clips the gradient of the network, not that of the head; returns its norm before."""
    most = config["optimizer"]["clip_norm"] or math.inf
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return torch.nn.utils.clip_grad_norm_(trained, most).item()


def step(config, network, head, sgd, batch, at):
    """One training step on `batch` (images, labels); `at` is (step, total, steps per epoch). Loss and gradient norm."""
    images, labels = batch
    for group in sgd.param_groups:
        group["lr"] = learning_rate(config, *at)
    sgd.zero_grad()
    loss = head(network(images), labels, at[0])
    loss.backward()
    norm = clip(config, network)
    sgd.step()
    return loss.item(), norm


def check(config):
    """Refuses what the peer does not do."""
    if config["train"]["accumulate"] != 1:
        raise SystemExit("train.accumulate: the peer makes a step of every batch; set it to 1")

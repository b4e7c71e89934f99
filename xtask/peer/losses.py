"""Margin softmax in PyTorch, differentiated by autograd.

Knows no network and no training. Written from the formulas in `arcface-losses`; it takes that crate's parameters.
"""

import math

import torch
from torch import nn
from torch.nn import functional

# The margins that the peer has, as (m1, m2, m3) of cos(m1·θ + m2) − m3.
MARGINS = {
    "normface": lambda loss: (1.0, 0.0, 0.0),
    "arcface": lambda loss: (1.0, loss["margin"], 0.0),
    "cosface": lambda loss: (1.0, 0.0, loss["margin"]),
    "combined": lambda loss: (loss["m1"], loss["m2"], loss["m3"]),
}
# Below this sine the derivative of the target stays as it is.
SINE_FLOOR = {torch.float32: 1e-4, torch.float64: 1e-8}


def build(loss, parameters):
    """The head of a configuration's `[loss]` around `centers` and, for softmax, a `bias`."""
    if loss["name"] == "softmax":
        return Softmax(parameters)
    if loss["name"] not in MARGINS:
        raise SystemExit(f"loss.name: the peer has no loss named `{loss['name']}`")
    if loss["sub_centers"] != 1 or loss["terms"]:
        raise SystemExit("loss: the peer has neither sub-centers nor terms")
    if loss.get("beyond_pi", "linear") not in ("linear", "none"):
        raise SystemExit(f"loss.beyond_pi: the peer has `linear` and `none`, not `{loss['beyond_pi']}`")
    return MarginSoftmax(loss, parameters)


class Softmax(nn.Module):
    """−log softmax of W·x + b."""

    def __init__(self, parameters):
        super().__init__()
        self.centers, self.bias = nn.Parameter(parameters["centers"]), nn.Parameter(parameters["bias"])

    def forward(self, embeddings, labels, step):
        return functional.cross_entropy(embeddings @ self.centers.T + self.bias, labels)


class MarginSoftmax(nn.Module):
    """−log softmax of s·cosθ, with a margin on the target."""

    def __init__(self, loss, parameters):
        super().__init__()
        self.loss = loss
        self.centers = nn.Parameter(parameters["centers"])

    def forward(self, embeddings, labels, step):
        cosines = functional.normalize(embeddings) @ functional.normalize(self.centers).T
        # Whatever the product was computed in.
        cosines = cosines.to(self.centers.dtype)
        targets = cosines.gather(1, labels[:, None])
        cosines = cosines.scatter(1, labels[:, None], self.warmed(targets, step))
        return functional.cross_entropy(self.loss["scale"] * cosines, labels)

    def warmed(self, cosine, step):
        """The target, blended in over the first `warmup_steps`."""
        steps = self.loss["warmup_steps"]
        share = step / steps if step < steps else 1.0
        return (1.0 - share) * cosine + share * self.target(cosine)

    def target(self, cosine):
        """cos(m1·θ + m2) − m3, differentiated as `gradient` says."""
        m1, m2, m3 = MARGINS[self.loss["name"]](self.loss)
        value = margin(within_one(cosine), m1, m2, self.loss.get("beyond_pi", "linear")) - m3
        if self.loss.get("gradient") == "straight_through":
            return StraightThrough.apply(cosine, value.detach())
        return value


class StraightThrough(torch.autograd.Function):
    """`value`, whose gradient goes to `cosine` unchanged."""

    @staticmethod
    def forward(ctx, cosine, value):
        return value.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


def within_one(cosine):
    """The cosine clamped to ±1, its gradient passed through."""
    return cosine + (cosine.clamp(-1.0, 1.0) - cosine).detach()


def margin(cosine, m1, m2, beyond_pi):
    """cos(m1·θ + m2), and what `beyond_pi` makes of it where the angle exceeds π."""
    if m1 == 1.0:
        value = cosine * math.cos(m2) - sine(cosine) * math.sin(m2)
    else:
        # θ from its tangent, so that its derivative is floored with the sine's.
        value = torch.cos(m1 * torch.atan2(sine(cosine), cosine) + m2)
    turn = (math.pi - m2) / m1
    if beyond_pi == "none" or math.pi <= turn:
        return value
    continued = cosine - m2 * math.sin(m2) if m1 == 1.0 else cosine - math.cos(turn) - 1.0
    return torch.where(cosine < math.cos(turn), continued, value)


def sine(cosine):
    """√(1 − cos²), whose derivative stops growing at the floor."""
    square, floor = (1.0 - cosine) * (1.0 + cosine), SINE_FLOOR[cosine.dtype]
    slope = (-cosine / floor).detach()
    low = square.clamp_min(0.0).sqrt().detach() + slope * (cosine - cosine.detach())
    return torch.where(square < floor * floor, low, square.clamp_min(floor * floor).sqrt())

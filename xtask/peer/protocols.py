"""IJB-C's protocol in numpy: templates by add.reduceat, scores in batches of pairs, rates by sorting."""

import json
import sys
import time
from pathlib import Path

import numpy as np

# Pairs whose rows stay in cache: larger batches are slower.
BATCH = 10_000


def starts_of_runs(values):
    """Where a row differs from the one before."""
    changes = np.any(values[1:] != values[:-1], axis=1)
    return np.concatenate([[0], np.flatnonzero(changes) + 1])


def templates_of(features, scores, members, dtype=np.float32):
    """The mean within a media, the sum over the media, of length 1."""
    order = np.lexsort((members[:, 1], members[:, 0]))
    members = members[order]
    media = starts_of_runs(members)
    means = np.add.reduceat(features[order] * scores[order, None], media, axis=0, dtype=dtype)
    means /= np.diff(np.append(media, len(order)))[:, None].astype(dtype)
    sums = np.add.reduceat(means, starts_of_runs(members[media, :1]), axis=0)
    return sums / np.linalg.norm(sums, axis=1, keepdims=True)


def scores_of(templates, pairs):
    """Cosines, batch by batch."""
    scores = np.empty(len(pairs), templates.dtype)
    for first in range(0, len(pairs), BATCH):
        batch = pairs[first : first + BATCH]
        scores[first : first + BATCH] = np.einsum("ij,ij->i", templates[batch[:, 0]], templates[batch[:, 1]])
    return scores


def accepts_at(scores, same, fars):
    """True and false accepts at each rate, equal scores accepted together."""
    order = np.argsort(-scores)
    scores, same = scores[order], same[order]
    last_of_equals = np.append(scores[1:] != scores[:-1], True)
    true = np.cumsum(same)[last_of_equals]
    false = np.cumsum(~same)[last_of_equals]
    found = []
    for far in fars:
        allowed = int(far * false[-1] * (1 + 1e-12))
        place = np.searchsorted(false, allowed, side="right") - 1
        accepted = [int(true[place]), int(false[place])] if 0 <= place else [0, 0]
        found.append(accepted if 1 <= allowed else None)
    return found


def main():
    jobs = json.loads(Path(sys.argv[1]).read_text())
    folder = Path(jobs["folder"])
    members = np.fromfile(folder / "members.u32", "<u4").reshape(-1, 2)
    scores = np.fromfile(folder / "scores.f32", "<f4")
    pairs = np.fromfile(folder / "pairs.u32", "<u4").reshape(-1, 2)
    same = np.fromfile(folder / "same.u8", "u1").astype(bool)
    if "templates" in jobs:
        # Not timed: what is right, of the templates that the other side has pooled.
        theirs = np.fromfile(folder / jobs["templates"], "<f4").reshape(-1, jobs["size"]).astype(np.float64)
        pooled = templates_of(np.load(folder / "features.npy"), scores, members, np.float64)
        exact = accepts_at(scores_of(theirs, pairs), same, jobs["fars"])
        run = {"accepts": exact, "farthest": float(np.abs(pooled - theirs).max())}
        Path(jobs["out"]).write_text(json.dumps(run))
        return
    start = time.perf_counter()
    templates = templates_of(np.load(folder / "features.npy"), scores, members)
    pooled = time.perf_counter()
    accepts = accepts_at(scores_of(templates, pairs), same, jobs["fars"])
    done = time.perf_counter()
    run = {"pooling": pooled - start, "rates": done - pooled, "accepts": accepts}
    Path(jobs["out"]).write_text(json.dumps(run))


main()

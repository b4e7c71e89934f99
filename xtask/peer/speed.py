"""Does a work in PyTorch, ONNX Runtime or a DataLoader again and again, and says how long that took.

    python speed.py

Reads commands on stdin and answers each on stdout, all of them a line of JSON: first {"do": "prepare", "side",
"threads", "task"}, then {"do": "run", "repetitions"}; it ends when there are no more. Only one task can be prepared.

Knows nothing of how the other side computes, and nothing of rounds.
"""

import dataclasses
import io
import json
import os
import random
import sys
import time

import numpy
import torch
from torch.nn import functional as F

import losses
import networks
import recipe



@dataclasses.dataclass(frozen=True)
class Way:
    """How PyTorch computes."""

    layout: torch.memory_format
    # What autocast computes products in; None: all is f32.
    half: torch.dtype | None = None
    # Whether the forward and backward pass are compiled, and the optimiser is one launch.
    compiled: bool = False


WAYS = {
    "torch": Way(torch.contiguous_format),
    "torch_channels_last": Way(torch.channels_last),
    # As insightface trains.
    "torch_half": Way(torch.contiguous_format, torch.float16),
    # The best that PyTorch has.
    "torch_compiled": Way(torch.channels_last, torch.bfloat16, compiled=True),
}
FORMATS = {side: way.layout for side, way in WAYS.items()}
# (x − 127.5)/this.
DEVIATIONS = {"127.5": 127.5, "128": 128.0}


def main():
    # Whatever else prints must not be taken for an answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    jobs = []
    for line in sys.stdin:
        try:
            answer = answered(json.loads(line), jobs)
        except ImportError as error:
            answer = {"missing": str(error)}
        except (Exception, SystemExit) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


def answered(request, jobs):
    """The answer to a command; `jobs` holds the task that was prepared, if any."""
    if request["do"] == "prepare" and not jobs:
        answer, job, device = prepare(request)
        jobs.append((job, device))
        return answer
    if request["do"] == "run" and jobs:
        job, device = jobs[0]
        return {"ran": {"seconds": seconds(job, device, request["repetitions"]), "peak_bytes": peak_bytes(device)}}
    return {"error": f"expected `prepare` once and then `run`, got `{request['do']}`"}


def prepare(request):
    """The answer, what is repeated, and where."""
    side, task = request["side"], request["task"]
    device = place(task["config"])
    before = peak_bytes(device)
    torch.manual_seed(0)
    torch.set_num_threads(request["threads"])
    job, items, versions = KINDS[task["kind"]](side, task, request["threads"])
    if side in WAYS and WAYS[side].compiled:
        compile_now(job)
    versions["torch"] = torch.__version__
    return {"ready": {"items": items, "peak_bytes": before, "versions": versions}}, job, device


def place(config):
    """The device of a configuration, where there is one."""
    name = config["device"] if config["device"].startswith("cuda") else "cpu"
    if name != "cpu":
        if not torch.cuda.is_available():
            raise ImportError("a PyTorch that sees a CUDA device")
        torch.cuda.set_device(name)
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    return torch.device(name)


def compile_now(job):
    """Its first repetition; where nothing can be compiled the side is left out."""
    try:
        job()
    except Exception as error:
        words = str(error).strip().splitlines() or ["no reason given"]
        raise ImportError(f"torch.compile ({type(error).__name__}: {words[0]})") from error


def seconds(job, device, repetitions):
    """How long they take."""
    wait(device)
    start = time.perf_counter()
    for _ in range(repetitions):
        job()
    wait(device)
    return time.perf_counter() - start


def wait(device):
    """Until the device has done all that it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_bytes(device):
    """The most memory that this process ever held, or its tensors on another device than the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            line = next(line for line in status if line.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    except (OSError, StopIteration):
        return None


def training(side, task, threads):
    """A step on one batch: gradients emptied, forward, loss, backward, update."""
    config, way, device = task["config"], WAYS[side], place(task["config"])
    network = networks.build(config["model"]).to(device, memory_format=way.layout).train()
    head = margin_softmax(config, task["classes"]).to(device)
    images = pixels(config, config["train"]["batch_size"]).to(device, memory_format=way.layout)
    labels = classes(config, task["classes"]).to(device)
    sgd = recipe.optimizer(config, network, head, way.compiled or None)
    loss_of = compiled(way, lambda: head(network(images), labels, 0))
    return stepping(way, device, sgd, loss_of), len(images), {}


def stepping(way, device, sgd, loss_of):
    """A training step: gradients emptied, forward, loss, backward, update."""
    scaler = torch.amp.GradScaler(device.type, enabled=way.half is torch.float16)

    def step():
        sgd.zero_grad()
        with halved(way, device):
            loss = loss_of()
        scaler.scale(loss).backward()
        scaler.step(sgd)
        scaler.update()
        # On a device the loss is waited for at the end of a sample.
        return loss.item() if device.type == "cpu" else loss

    return step


def compiled(way, function):
    """The function, compiled if that is the way."""
    return torch.compile(function, dynamic=False) if way.compiled else function


def halved(way, device):
    """Where products are computed in half precision, if that is the way."""
    return torch.autocast(device.type, way.half or torch.bfloat16, enabled=way.half is not None)


def inference(side, task, threads):
    """The embeddings of one batch."""
    network = networks.build(task["config"]["model"]).eval()
    images = pixels(task["config"], task["config"]["eval"]["batch_size"])
    if side == "onnx_runtime":
        return exported(network, images, threads)
    way, device = WAYS[side], place(task["config"])
    network, images = network.to(device, memory_format=way.layout), images.to(device, memory_format=way.layout)
    forward = compiled(way, lambda: network(images))

    def embed():
        with torch.inference_mode(), halved(way, device):
            return forward().numpy() if device.type == "cpu" and way.half is None else forward()

    return embed, len(images), {}


def exported(network, images, threads):
    """The same in ONNX Runtime, which optimises the network that PyTorch exports for this size of batch."""
    import onnx
    import onnxruntime

    file = io.BytesIO()
    torch.onnx.export(network, images, file, input_names=["images"], output_names=["embeddings"], dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    # Between runs the other sides have the processors.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
    feed = {"images": images.numpy()}
    versions = {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__}
    return lambda: session.run(None, feed), len(images), versions


def head(side, task, threads):
    """Loss, gradients of embeddings and centers, and the centers' update."""
    config, way, device = task["config"], WAYS[side], place(task["config"])
    module = margin_softmax(config, task["classes"]).to(device)
    sgd = recipe.optimizer(config, torch.nn.Module(), module, way.compiled or None)
    size = networks.embedding_size(config["model"])
    embeddings = torch.randn(config["train"]["batch_size"], size).to(device).requires_grad_()
    labels = classes(config, task["classes"]).to(device)
    step = stepping(way, device, sgd, compiled(way, lambda: module(embeddings, labels, 0)))

    def job():
        embeddings.grad = None
        return step()

    return job, len(embeddings), {}


def inversion(side, task, threads):
    """A step from images towards given embeddings: the network's gradient, the priors', and Adam's update."""
    config, plan, layout = task["config"], task["inversion"], FORMATS[side]
    network = networks.build(config["model"]).to(memory_format=layout).eval().requires_grad_(False)
    count = config["eval"]["batch_size"]
    with torch.no_grad():
        targets = network(pixels(config, count))
    # An image is a sum of images, each half as wide as the one before.
    sizes = [config["model"]["input_size"] >> level for level in range(plan["levels"])]
    parts = [torch.zeros(count, 3, size, size) for size in sizes]
    parts = [part.to(memory_format=layout).requires_grad_() for part in parts]
    adam = torch.optim.Adam(parts, plan["learning_rate"], plan["betas"])
    watched = watch(network)

    def step():
        adam.zero_grad()
        watched.clear()
        images = parts[-1]
        for part in reversed(parts[:-1]):
            images = part + F.interpolate(images, part.shape[2:], mode="bilinear")
        distance = (network(seen(images, plan)) - targets).square().sum(1).mean()
        loss = distance + plan["statistics"]["weight"] * sum(watched) + smoothness(images, plan)
        loss.backward()
        adam.step()
        return loss.item()

    return step, count, {}


def watch(network):
    """A list that each pass fills with the distance of every batch norm's statistics."""
    found = []

    def look(norm, inputs):
        variance, mean = torch.var_mean(inputs[0], [0, *range(2, inputs[0].dim())], correction=0)
        expected = norm.running_var.sqrt()
        of_mean, of_deviation = (mean - norm.running_mean) / expected, variance.sqrt() / expected - 1
        found.append((of_mean.square() + of_deviation.square()).mean())

    for module in network.modules():
        if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            module.register_forward_pre_hook(look)
    return found


def seen(images, plan):
    """The images as they are placed in one step, turned, enlarged, shifted and mirrored, and noise on them."""
    side, count = images.shape[3], len(images)
    uniform = lambda by: (2 * torch.rand(count) - 1) * by
    scale, angle = 1 + uniform(plan["zoom"]), torch.deg2rad(uniform(plan["rotation"]))
    mirror = 1 - 2 * (torch.rand(count) < plan["flip"]).float()
    shift = [uniform(2 * plan["jitter"] / side) for _ in range(2)]
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    rows = [cosine * mirror, -sine, shift[0], sine * mirror, cosine, shift[1]]
    grid = F.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), images.shape, align_corners=True)
    placed = F.grid_sample(images, grid, padding_mode="border", align_corners=True)
    return placed + plan["view_noise"] * torch.randn_like(placed)


def smoothness(images, plan):
    """Total variation and length, by their weights."""
    across, down = images.diff(dim=3).square().sum(), images.diff(dim=2).square().sum()
    length = images.flatten(1).norm(dim=1).sum()
    return (plan["total_variation"] * (across + down) + plan["l2"] * length) / len(images)


def margin_softmax(config, count):
    """The head of a configuration, its centers drawn as ours are."""
    size = networks.embedding_size(config["model"])
    return losses.build(config["loss"], {"centers": torch.empty(count, size).normal_(0.0, 0.01)}).train()


def pixels(config, count):
    """Images (B, 3, S, S) of noise."""
    side = config["model"]["input_size"]
    return 2.0 * torch.rand(count, 3, side, side) - 1.0


def classes(config, count):
    """Labels (B)."""
    return torch.randint(count, (config["train"]["batch_size"],))


def loading(side, task, threads):
    """An epoch of shuffled, mirrored, normalised batches, by as many processes as ours has threads for it."""
    data, size = task["config"]["data"], task["config"]["train"]["batch_size"]
    decode, versions = DECODERS[side]()
    faces = Faces(task["folder"], decode, DEVIATIONS[data["normalise"]])
    loader = torch.utils.data.DataLoader(
        faces, size, shuffle=True, num_workers=data["workers"], drop_last=True, persistent_workers=0 < data["workers"]
    )

    def epoch():
        for images, labels in loader:
            assert images.dtype == torch.float32 and len(labels) == size

    return epoch, len(loader) * size, versions


class Faces(torch.utils.data.Dataset):
    """The images of a folder with one sub-folder per identity, each mirrored by a coin."""

    def __init__(self, root, decode, deviation):
        identities = sorted(entry.path for entry in os.scandir(root) if entry.is_dir())
        self.faces = [
            (face.path, label) for label, folder in enumerate(identities) for face in os.scandir(folder)
        ]
        self.decode, self.deviation = decode, deviation

    def __len__(self):
        return len(self.faces)

    def __getitem__(self, index):
        path, label = self.faces[index]
        pixels = self.decode(path)
        if random.random() < 0.5:
            pixels = pixels[:, ::-1]
        pixels = torch.from_numpy(numpy.ascontiguousarray(pixels.transpose(2, 0, 1)))
        return pixels.to(torch.float32).sub_(127.5).div_(self.deviation), label


def pillow():
    """How Pillow decodes, and its version."""
    import PIL

    return with_pillow, {"pillow": PIL.__version__}


def with_pillow(path):
    from PIL import Image

    with Image.open(path) as image:
        return numpy.asarray(image.convert("RGB"))


def opencv():
    """How OpenCV decodes, and its version."""
    import cv2

    return with_opencv, {"opencv": cv2.__version__}


def with_opencv(path):
    import cv2

    # Two processes are at work already.
    cv2.setNumThreads(0)
    return cv2.imread(path)[:, :, ::-1]


KINDS = {"training": training, "inference": inference, "head": head, "inversion": inversion, "loading": loading}
DECODERS = {"pillow": pillow, "open_cv": opencv}


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)

"""The networks in PyTorch, under the names and shapes that our weights files have.

Knows no loss and no training. Written from the descriptions in `arcface-models`, not from another implementation.
"""

from torch import nn

IRESNET_BLOCKS = {
    "iresnet18": (2, 2, 2, 2),
    "iresnet34": (3, 4, 6, 3),
    "iresnet50": (3, 4, 14, 3),
    "iresnet100": (3, 13, 30, 3),
    "iresnet200": (6, 26, 60, 6),
}


def build(model):
    """The network of a configuration's `[model]`."""
    name, side, size = model["backbone"], model["input_size"] // 16, embedding_size(model)
    if model["freeze"]:
        raise SystemExit("model.freeze: the peer trains every module; leave it empty")
    if name == "mobilefacenet":
        return MobileFaceNet(side, size)
    if name == "mobilefacenet_y1":
        return MobileFaceNetY1(side, size)
    if name == "facenano":
        return FaceNano(side, size, model["dropout"])
    if name in IRESNET_BLOCKS:
        return IResNet(IRESNET_BLOCKS[name], side, size, model["dropout"])
    raise SystemExit(f"model.backbone: the peer has no network named `{name}`")


def embedding_size(model):
    """What is said, else the network's own."""
    small = model["backbone"] in ("facenano", "mobilefacenet_y1")
    return model.get("embedding_size") or (128 if small else 512)


def convolution(inputs, outputs, kernel, stride=1, groups=1):
    """A convolution without bias that keeps the image's size at stride 1."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


class OptionE(nn.Module):
    """BN, dropout, FC, BN with γ frozen at 1: how `iresnet` and `facenano` end. The names are the network's own."""

    def end_with(self, channels, side, size, dropout):
        self.bn2 = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels * side * side, size)
        self.features = nn.BatchNorm1d(size)
        self.features.weight.requires_grad_(False)

    def embed(self, x):
        return self.features(self.fc(self.dropout(self.bn2(x)).flatten(1)))


class Block(nn.Module):
    """BN conv BN PReLU conv(stride) BN, plus x or its 1×1 conv(stride) BN."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = convolution(inputs, outputs, 3)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.prelu = nn.PReLU(outputs)
        self.conv2 = convolution(outputs, outputs, 3, stride)
        self.bn3 = nn.BatchNorm2d(outputs)
        if stride != 1:
            self.downsample = nn.Sequential(convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        shortcut = self.downsample(x) if hasattr(self, "downsample") else x
        return self.bn3(self.conv2(y)) + shortcut


class IResNet(OptionE):
    """Four stages of pre-normalised residual blocks, then option E."""

    def __init__(self, blocks, side, size, dropout):
        super().__init__()
        widths = (64, 64, 128, 256, 512)
        self.conv1 = convolution(3, widths[0], 3)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.prelu = nn.PReLU(widths[0])
        for stage, count in enumerate(blocks):
            inputs, outputs = widths[stage], widths[stage + 1]
            first, rest = Block(inputs, outputs, 2), [Block(outputs, outputs, 1) for _ in range(count - 1)]
            setattr(self, f"layer{stage + 1}", nn.Sequential(first, *rest))
        self.end_with(widths[4], side, size, dropout)

    def forward(self, x):
        x = self.prelu(self.bn1(self.conv1(x)))
        return self.embed(self.layer4(self.layer3(self.layer2(self.layer1(x)))))


class Layers(nn.Module):
    """Modules one after the other, under the name `layers`."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x)


def linear(inputs, outputs, kernel, stride=1, groups=1):
    """Convolution and batch norm."""
    return Layers(convolution(inputs, outputs, kernel, stride, groups), nn.BatchNorm2d(outputs))


def activated(inputs, outputs, kernel, stride=1, groups=1):
    """Convolution, batch norm and PReLU."""
    conv = convolution(inputs, outputs, kernel, stride, groups)
    return Layers(conv, nn.BatchNorm2d(outputs), nn.PReLU(outputs))


def bottleneck(inputs, inner, outputs, stride=1):
    """1×1 to `inner` channels, 3×3 depthwise with the stride, 1×1 to `outputs` without activation."""
    return Layers(activated(inputs, inner, 1), activated(inner, inner, 3, stride, inner), linear(inner, outputs, 1))


class Residuals(Layers):
    """Bottlenecks that each add to what they are given."""

    def forward(self, x):
        for layer in self.layers:
            x = x + layer(x)
        return x


def residuals(count, channels, inner):
    """`count` residual bottlenecks."""
    return Residuals(*(bottleneck(channels, inner, channels) for _ in range(count)))


class MobileFaceNet(nn.Module):
    """Inverted bottlenecks, then a global depthwise convolution and a fully connected layer."""

    def __init__(self, side, size):
        super().__init__()
        self.layers = nn.Sequential(
            activated(3, 128, 3, 2),
            activated(128, 128, 3, 1, 64),
            bottleneck(128, 128, 128, 2),
            residuals(4, 128, 128),
            bottleneck(128, 256, 256, 2),
            residuals(6, 256, 256),
            bottleneck(256, 512, 256, 2),
            residuals(2, 256, 256),
        )
        self.conv_sep = activated(256, 512, 1)
        whole = Layers(nn.Conv2d(512, 512, side, groups=512, bias=False), nn.BatchNorm2d(512))
        self.features = Layers(whole, nn.Flatten(), nn.Linear(512, size, bias=False), nn.BatchNorm1d(size))

    def forward(self, x):
        return self.features(self.conv_sep(self.layers(x)))


class MobileFaceNetY1(nn.Module):
    """The published `model-y1`: half as wide as insightface's later ones, eps 1e-3 but for the last batch norm."""

    def __init__(self, side, size):
        super().__init__()
        self.layers = nn.Sequential(
            activated(3, 64, 3, 2),
            activated(64, 64, 3, 1, 64),
            bottleneck(64, 128, 64, 2),
            residuals(4, 64, 128),
            bottleneck(64, 256, 128, 2),
            residuals(6, 128, 256),
            bottleneck(128, 512, 128, 2),
            residuals(2, 128, 256),
            activated(128, 512, 1),
        )
        for module in self.layers.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 1e-3
        whole = Layers(nn.Conv2d(512, 512, side, groups=512, bias=False), nn.BatchNorm2d(512, eps=1e-3))
        self.features = Layers(whole, nn.Flatten(), nn.Linear(512, size), nn.BatchNorm1d(size, eps=2e-5))

    def forward(self, x):
        return self.features(self.layers(x))


class Activated(nn.Module):
    """3×3 convolution, batch norm and PReLU, under names that say so."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv = convolution(inputs, outputs, 3, stride)
        self.bn = nn.BatchNorm2d(outputs)
        self.prelu = nn.PReLU(outputs)

    def forward(self, x):
        return self.prelu(self.bn(self.conv(x)))


class Stage(nn.Module):
    """Half the image, then a residual layer."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.down = Activated(inputs, outputs, 2)
        self.block = Activated(outputs, outputs, 1)

    def forward(self, x):
        x = self.down(x)
        return x + self.block(x)


class FaceNano(OptionE):
    """Our small network for quick runs."""

    def __init__(self, side, size, dropout):
        super().__init__()
        self.stem = Activated(3, 16, 2)
        self.stage1, self.stage2, self.stage3 = Stage(16, 32), Stage(32, 64), Stage(64, 96)
        self.end_with(96, side, size, dropout)

    def forward(self, x):
        return self.embed(self.stage3(self.stage2(self.stage1(self.stem(x)))))

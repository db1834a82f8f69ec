"""The network of NCSNv2: residual stages, fused again from the coarsest to the finest."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from posterior.errors import InvalidValueError, ShapeError

# (name, features in units of the first stage's, dilation) of each stage, and the names of the blocks that fuse them,
# coarsest first; by the number of stages. A stage without dilation has half the resolution of the one before.
_STAGES = {
    4: ([("1", 1, 1), ("2", 2, 1), ("3", 2, 2), ("4", 2, 4)], "1 2 3 4"),
    5: ([("1", 1, 1), ("2", 2, 1), ("3", 2, 1), ("4", 4, 2), ("5", 4, 4)], "1 2 3 4 5"),
    6: ([("1", 1, 1), ("2", 2, 1), ("3", 2, 1), ("31", 2, 1), ("4", 4, 2), ("5", 4, 4)], "1 2 31 3 4 5"),
}


class RefineNet(nn.Module):
    r"""The network of NCSNv2, NCSNv2Deeper and NCSNv2Deepest, without its division by σ: x ↦ F(x), of unit variance.

    It does not depend on the noise level, which it has to guess from the image. Parameters are named as in the authors'
    code (github.com/ermongroup/ncsnv2), whose activation (ELU) and normalisation (InstanceNorm++) it has.

    Args:
        channels: Channels of the image, in and out.
        features: Features of the first stage (`ngf`).
        stages: 4 (NCSNv2), 5 (NCSNv2Deeper) or 6 (NCSNv2Deepest).

    Attributes:
        factor: Sides of images are multiples of it.

    Raises:
        InvalidValueError: An argument is out of range.
        ShapeError: The sides of an image, given to `forward`, are no multiples of `factor`.

    References:
        Song & Ermon 2020, Improved Techniques for Training Score-Based Generative Models, arXiv:2006.09011.
        Lin, Milan, Shen & Reid 2017, RefineNet: Multi-Path Refinement Networks for High-Resolution Semantic
        Segmentation, arXiv:1611.06612.
    """

    def __init__(self, channels: int = 3, features: int = 128, stages: int = 6) -> None:
        super().__init__()
        if stages not in _STAGES or min(channels, features) < 1:
            raise InvalidValueError(
                f"RefineNet has 4, 5 or 6 stages, channels and features; got {stages}, {channels} and {features}"
            )
        self.config = dict(channels=channels, features=features, stages=stages)
        layout, fusions = _STAGES[stages]
        self.factor = 2 ** sum(dilation == 1 for _, _, dilation in layout[1:])
        self.begin_conv = nn.Conv2d(channels, features, 3, padding=1)
        widths = [multiple * features for _, multiple, _ in layout]
        for i, (name, _, dilation) in enumerate(layout):
            inputs, width = widths[max(i - 1, 0)], widths[i]
            blocks = [Residual(inputs, width, dilation, entry=i > 0), Residual(width, width, dilation)]
            self.add_module(f"res{name}", nn.ModuleList(blocks))
        self._stages = [f"res{name}" for name, *_ in layout]
        self._fusions = [f"refine{name}" for name in fusions.split()]
        for place, name in enumerate(self._fusions):
            own, finer = widths[-1 - place], widths[max(len(widths) - 2 - place, 0)]
            last = place == len(widths) - 1
            self.add_module(name, Fusion([own] * (1 if place == 0 else 2), finer, 3 if last else 1))
        self.normalizer = InstanceNormPlus(features)
        self.end_conv = nn.Conv2d(features, channels, 3, padding=1)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """F(x) of images (N, C, H, W) with values in [−1, 1] about and noise; the label is of no consequence."""
        if any(side % self.factor for side in x.shape[-2:]):
            raise ShapeError(
                f"this RefineNet takes images whose sides are multiples of {self.factor}, got {tuple(x.shape)}; crop "
                "or pad them"
            )
        h, features = self.begin_conv(x), []
        for name in self._stages:
            for block in self.get_submodule(name).children():
                h = block(h)
            features.append(h)
        h = self.get_submodule(self._fusions[0])([features.pop()])
        for name in self._fusions[1:]:
            h = self.get_submodule(name)([features.pop(), h])
        return self.end_conv(functional.elu(self.normalizer(h)))


class InstanceNormPlus(nn.Module):
    r"""Instance normalisation that keeps the means, themselves normalised over channels (InstanceNorm++).

    $$ \gamma \Big(\frac{x - \mu}{s} + \alpha \frac{\mu - \bar\mu}{\operatorname{std}(\mu)}\Big) + \beta $$

    References:
        Song & Ermon 2019, Generative Modeling by Estimating Gradients of the Data Distribution, arXiv:1907.05600.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.alpha, self.gamma = nn.Parameter(torch.ones(features)), nn.Parameter(torch.ones(features))
        self.beta = nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean((2, 3))
        # the variance over channels is the unbiased one, unlike that over pixels
        centred = means - means.mean(1, keepdim=True)
        means = centred * (means.var(1, keepdim=True) + 1e-5).rsqrt()
        h = functional.instance_norm(x, eps=1e-5) + (self.alpha * means)[:, :, None, None]
        return self.gamma[:, None, None] * h + self.beta[:, None, None]


class Residual(nn.Module):
    """Two normalised convolutions beside a skip.

    Args:
        inputs, outputs: Features.
        dilation: Of the convolutions.
        entry: Whether a stage begins here: the skip is a convolution, and without dilation the resolution is halved.
    """

    def __init__(self, inputs: int, outputs: int, dilation: int, entry: bool = False) -> None:
        super().__init__()
        self.normalize1, self.normalize2 = InstanceNormPlus(inputs), InstanceNormPlus(inputs)
        self.conv1: nn.Module = _conv(inputs, inputs, dilation)
        self.conv2: nn.Module
        self.shortcut: nn.Module = nn.Identity()
        if entry and dilation == 1:
            self.conv2, self.shortcut = PooledConv(inputs, outputs, 3), PooledConv(inputs, outputs, 1)
        else:
            self.conv2 = _conv(inputs, outputs, dilation)
            if entry:
                self.shortcut = _conv(inputs, outputs, dilation)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(functional.elu(self.normalize1(x)))
        return self.shortcut(x) + self.conv2(functional.elu(self.normalize2(h)))


class PooledConv(nn.Module):
    """A convolution, of whose output the means of 2 × 2 pixels are taken."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        return functional.avg_pool2d(self.conv(x), 2)


class Units(nn.Module):
    """`count` residual units of two convolutions each."""

    def __init__(self, features: int, count: int) -> None:
        super().__init__()
        self.count = count
        for unit in range(1, count + 1):
            for place in (1, 2):
                self.add_module(f"{unit}_{place}_conv", nn.Conv2d(features, features, 3, padding=1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        for unit in range(1, self.count + 1):
            h = x
            for place in (1, 2):
                h = self.get_submodule(f"{unit}_{place}_conv")(functional.elu(h))
            x = x + h
        return x


class Fusion(nn.Module):
    """Features of one resolution or two, adapted, summed at the finer, pooled with stride one, and adapted again."""

    def __init__(self, widths: list[int], outputs: int, units: int) -> None:
        super().__init__()
        self.adapt_convs = nn.ModuleList(Units(width, 2) for width in widths)
        if len(widths) > 1:
            self.msf = nn.Module()
            self.msf.convs = nn.ModuleList(nn.Conv2d(width, outputs, 3, padding=1) for width in widths)
        self.crp = nn.Module()
        self.crp.convs = nn.ModuleList(nn.Conv2d(outputs, outputs, 3, padding=1, bias=False) for _ in range(2))
        self.output_convs = Units(outputs, units)

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """Fuse features (N, C, h, w), the finest first."""
        adapted = [adapt(h) for adapt, h in zip(self.adapt_convs, inputs, strict=True)]
        h, size = adapted[0], inputs[0].shape[-2:]
        if len(adapted) > 1:
            resized = [
                functional.interpolate(conv(h), size=size, mode="bilinear", align_corners=True)
                for conv, h in zip(self.msf.get_submodule("convs").children(), adapted, strict=True)
            ]
            h = resized[0] + resized[1]
        h = path = functional.elu(h)
        for conv in self.crp.get_submodule("convs").children():
            path = conv(functional.max_pool2d(path, 5, stride=1, padding=2))
            h = h + path
        return self.output_convs(h)


def _conv(inputs: int, outputs: int, dilation: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation)

"""How much the classifier `gender` depends on anything but the face.

A thousand samples of `faces-dcgan` (seed 0), whose faces are neither cut out nor upright, are seen whole and changed;
and so are the hundred grey faces of scikit-image's `lfw_subset`, 25 × 25, enlarged to 32 × 32. No truth is known: a
label is the same if it is that of the whole sample. Standard errors of shares are 1.6 % (samples) and 5 % (faces).
Cost: one minute on one core; --quick: seconds.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

from benchmarks.common.pages import page, run
from posterior.fairness import Classifier, load_classifier
from posterior.noise import Noise
from posterior.priors.generators import GeneratorPrior
from posterior.priors.zoo import load_prior
from posterior.tables import markdown_table

FINDING = (
    "The classifier `gender` depends on more than the face: noise of standard deviation 0.1 takes the share that it "
    "calls female from 44.1% to 18.8%, and smoothing over 4 × 4 pixels takes it to 79.4%, and it is no less sure. A "
    "gap between true images and reconstructions that are noisy or blurred may therefore be the classifier's alone: "
    "look first at how it labels true images degraded alike."
)


def changes(x: Tensor) -> dict[str, Tensor]:
    """Faces (N, 3, 64, 64), whole and otherwise."""
    noise = Noise.of(0, len(x)).use("noise").normal(x.shape[1:])[0]

    def smooth(factor: int) -> Tensor:
        return interpolate(avg_pool2d(x, factor), size=64, mode="bilinear")

    return {
        "the whole sample, 64 × 64": x,
        "mirrored": x.flip(-1),
        "without the two left columns": x[..., 2:],
        "the middle 48 × 48": x[..., 8:-8, 8:-8],
        "the middle 40 × 40": x[..., 12:-12, 12:-12],
        "with noise of standard deviation 0.05": x + 0.05 * noise,
        "with noise of standard deviation 0.1": x + 0.1 * noise,
        "averaged over 2 × 2 and interpolated": smooth(2),
        "averaged over 4 × 4 and interpolated": smooth(4),
        "averaged over 4 × 4, as blocks": interpolate(avg_pool2d(x, 4), size=64, mode="nearest"),
    }


def lfw_faces() -> dict[str, Tensor]:
    """Real faces, grey; with and without a wide margin."""
    from skimage.data import lfw_subset

    grey = 2 * torch.as_tensor(lfw_subset()[:100]).float()[:, None].expand(-1, 3, -1, -1) - 1
    face = interpolate(grey, size=32, mode="bilinear")
    margin = interpolate(pad(face, (8,) * 4, mode="replicate"), size=32, mode="area")
    return {"face fills the frame": face, "a quarter more on each side, borders repeated": margin}


def labels(classifier: Classifier, x: Tensor) -> tuple[Tensor, float]:
    """Which are called female, and the mean probability of the label."""
    p = classifier(x)
    return p[:, 0] > 0.5, float(p.amax(1).mean())


@torch.no_grad()
def main(quick: bool) -> str:
    """The tables, as Markdown."""
    prior, classifier = load_prior("faces-dcgan"), load_classifier("gender")
    assert isinstance(prior, GeneratorPrior)
    samples, rows = prior.sample(20 if quick else 1000, Noise.of(0))[:, 0], []
    whole, _ = labels(classifier, samples)
    for name, x in changes(samples).items():
        female, sure = labels(classifier, x)
        same = (female == whole).double().mean()
        rows.append([name, f"{female.double().mean():.1%}", f"{sure:.3f}", f"{same:.1%}"])
    real = [
        [name, f"{female.double().mean():.0%}", f"{sure:.2f}"]
        for name, (female, sure) in ((name, labels(classifier, x)) for name, x in lfw_faces().items())
    ]
    return page("The classifier `gender`", FINDING, [
        markdown_table(["samples of faces-dcgan", "female", "mean probability of the label", "label the same"], rows),
        markdown_table(["faces of lfw_subset", "female", "mean probability of the label"], real),
    ], __doc__)  # fmt: skip


if __name__ == "__main__":
    run(main, "gender.md", __doc__)

"""Classifiers: shape, files, training, and the shipped ones."""

import pytest
import torch

from posterior.data import load_digits, load_fashion
from posterior.errors import FileFormatError, InvalidValueError, ShapeError, UnknownNameError
from posterior.fairness import Classifier, Groups, list_classifiers, load_classifier, save_classifier
from posterior.fairness.classifiers import SHIPPED
from posterior.training import held_out_accuracy, train_classifier


def stripes(count, seed=0):
    """Images of horizontal and of vertical stripes, noisy; and which they are."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (count,), generator=draw)
    wave = torch.tensor([1.0, -1.0]).repeat(4)
    pure = torch.where(labels[:, None, None] == 0, wave[:, None].expand(8, 8), wave.expand(8, 8))
    return (0.5 * pure[:, None] + 0.3 * torch.randn(count, 1, 8, 8, generator=draw)).clamp(-1, 1), labels


def train(folder, steps):
    return train_classifier(
        *stripes(300), folder, names=["rows", "columns"], held_out=stripes(200, 1), widths=(8, 8), steps=steps,
        batch_size=32, progress=False,
    )  # fmt: skip


def test_training_learns_resumes_and_is_saved(tmp_path):
    train(tmp_path / "parts", 60)  # the first part of another decay: what follows must go on from it
    classifier = train(tmp_path / "parts", 200)
    measured = held_out_accuracy(classifier, *stripes(200, 1))
    assert measured["accuracy"] > 0.95  # the signal is 13 standard deviations of the noise
    assert 0 <= measured["ece"] < 0.2
    save_classifier(classifier, tmp_path / "saved")
    again = load_classifier(tmp_path / "saved")
    x, _ = stripes(6, 2)
    assert torch.equal(again(x), classifier(x))
    assert not again.training and not any(p.requires_grad for p in again.parameters())


def test_probabilities_of_any_leading_shape():
    torch.manual_seed(0)
    classifier = Classifier("abc", (1, 8, 8), (4,)).eval()
    x = torch.rand(2, 3, 1, 8, 8) * 2 - 1
    p = classifier(x)
    assert p.shape == (2, 3, 3)
    torch.testing.assert_close(p.sum(-1), torch.ones(2, 3))
    torch.testing.assert_close(p[1, 2], classifier(x[1, 2]))
    torch.testing.assert_close(Groups(classifier.names, classifier).of(x, (1, 8, 8)).float(), p.detach())
    with pytest.raises(ShapeError, match=r"\(\.\.\., 1, 8, 8\)"):
        classifier(x[..., :7])


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(InvalidValueError, match="two names"):
        Classifier("a")
    with pytest.raises(ShapeError, match="2\\^3"):
        Classifier("ab", (1, 4, 4))
    with pytest.raises(ShapeError, match="labels"):
        train_classifier(torch.zeros(3, 1, 8, 8), torch.zeros(2).long(), tmp_path, names="ab")
    with pytest.raises(InvalidValueError, match="from 0 to 1"):
        train_classifier(torch.zeros(2, 1, 8, 8), torch.tensor([0, 2]), tmp_path, names="ab")
    with pytest.raises(UnknownNameError, match="there are digits, fashion"):
        load_classifier("digit")
    with pytest.raises(FileFormatError, match="does not describe"):
        load_classifier(tmp_path)
    folder = save_classifier(Classifier("ab", (1, 8, 8), (4,)), tmp_path / "saved")
    save_classifier(Classifier("ab", (1, 8, 8), (5,)), tmp_path / "other")
    (folder / "weights.safetensors").write_bytes((tmp_path / "other" / "weights.safetensors").read_bytes())
    with pytest.raises(FileFormatError, match="does not fit"):
        load_classifier(folder)


# Held-out accuracies are .99 and .91 on their cards; four standard errors of a hundred images below them.
@pytest.mark.parametrize(("name", "load", "least"), [("digits", load_digits, 0.95), ("fashion", load_fashion, 0.79)])
def test_the_shipped_are_as_good_as_their_cards_say(name, load, least):
    classifier = load_classifier(name)
    assert held_out_accuracy(classifier, *load())["accuracy"] >= least
    assert len(classifier.names) == 10
    card = (SHIPPED / name / "README.md").read_text(encoding="utf-8")
    assert "**Licence.**" in card and "**Limits.**" in card


def test_what_is_shipped():
    assert list_classifiers() == ["digits", "fashion"]

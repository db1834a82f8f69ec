"""Classifiers: shape, files, training, and the shipped ones."""

import json

import pytest
import torch
from torch import nn

from posterior.data import load_digits, load_fashion
from posterior.errors import (
    CheckpointMismatchError,
    FileFormatError,
    IncompatibleError,
    InvalidValueError,
    ShapeError,
    UnknownNameError,
)
from posterior.fairness import (
    Classifier,
    Groups,
    class_groups,
    classifier_card,
    list_classifiers,
    load_classifier,
    save_classifier,
)
from posterior.networks.classifiers import ConvNet
from posterior.noise import Noise
from posterior.priors.zoo import load_prior
from posterior.training import held_out_accuracy, train_classifier


def stripes(count, seed=0):
    """Images of horizontal and of vertical stripes, noisy; and which they are."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (count,), generator=draw)
    wave = torch.tensor([1.0, -1.0]).repeat(4)
    pure = torch.where(labels[:, None, None] == 0, wave[:, None].expand(8, 8), wave.expand(8, 8))
    return (0.5 * pure[:, None] + 0.3 * torch.randn(count, 1, 8, 8, generator=draw)).clamp(-1, 1), labels


def small(width=4):
    return Classifier(ConvNet(1, 2, [width]), ["a", "b"], (1, 8, 8))


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


def test_weights_for_other_labels_are_not_gone_on_with(tmp_path):
    images, labels = stripes(40)
    options = {"names": ["rows", "columns"], "widths": (8,), "steps": 2, "batch_size": 8, "progress": False}
    train_classifier(images, labels, tmp_path, **options)
    for other in ((images, 1 - labels), (images + 0.01, labels)):
        with pytest.raises(CheckpointMismatchError, match="different training data"):
            train_classifier(*other, tmp_path, **options)


def test_probabilities_of_any_leading_shape():
    torch.manual_seed(0)
    classifier = Classifier(ConvNet(1, 3, [4]), "abc", (1, 8, 8)).eval()
    x = torch.rand(2, 3, 1, 8, 8) * 2 - 1
    p = classifier(x)
    assert p.shape == (2, 3, 3)
    torch.testing.assert_close(p.sum(-1), torch.ones(2, 3))
    torch.testing.assert_close(p[1, 2], classifier(x[1, 2]))
    torch.testing.assert_close(Groups(classifier.names, classifier).of(x, (1, 8, 8)).float(), p.detach())
    with pytest.raises(ShapeError, match=r"\(\.\.\., 1, 8, 8\)"):
        classifier(x[..., :7])
    assert classifier(x[:0]).shape == (0, 3, 3)


def test_larger_images_are_averaged_down():
    torch.manual_seed(0)
    classifier = Classifier(ConvNet(1, 2, [4]), "ab", (1, 8, 8), resize=True).eval()
    x = torch.rand(2, 3, 1, 8, 8) * 2 - 1
    large = x.repeat_interleave(3, -1).repeat_interleave(2, -2)
    torch.testing.assert_close(classifier(large), classifier(x))
    assert classifier(torch.rand(1, 9, 13)).shape == (2,)
    for wrong in (x[..., :7], x[..., :7, :], x.expand(2, 3, 3, 8, 8), x[0, 0, 0]):
        with pytest.raises(ShapeError, match=r"\(\.\.\., 1, H, W\) with H ≥ 8 and W ≥ 8"):
            classifier(wrong)


def test_a_look_at_the_network_leaves_it_as_it_was():
    network = ConvNet(1, 2, [4])
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    Classifier(network, "ab", (1, 8, 8))
    assert network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_a_folder_may_be_written_anew_while_its_weights_are_in_use(tmp_path):
    save_classifier(small(), tmp_path)
    loaded = load_classifier(tmp_path)
    x, _ = stripes(4)
    before = loaded(x)
    save_classifier(small(), tmp_path)
    assert torch.equal(loaded(x), before)
    assert not torch.equal(load_classifier(tmp_path)(x), before)
    assert load_classifier(tmp_path, dtype=torch.float64)(x).dtype == torch.float64


def test_what_cannot_be_is_refused(tmp_path):
    for names in ("a", "aa"):
        with pytest.raises(InvalidValueError, match="two names"):
            Classifier(ConvNet(1, len(names), [4]), names, (1, 8, 8))
    for event_shape in ((1, 1, 1), (3, 8, 8)):
        with pytest.raises(ShapeError, match="does not take"):
            Classifier(ConvNet(1, 2, [4]), "ab", event_shape)
    with pytest.raises(ShapeError, match=r"gives \(1, 3\)"):
        Classifier(ConvNet(1, 3, [4]), "ab", (1, 8, 8))
    with pytest.raises(ShapeError, match="is \\(C, H, W\\)"):
        Classifier(ConvNet(1, 2, [4]), "ab", (8, 8))
    with pytest.raises(InvalidValueError, match="widths are positive"):
        ConvNet(1, 2, [])
    with pytest.raises(ShapeError, match="labels"):
        train_classifier(torch.zeros(3, 1, 8, 8), torch.zeros(2).long(), tmp_path, names=["a", "b"])
    with pytest.raises(InvalidValueError, match="from 0 to 1"):
        train_classifier(torch.zeros(2, 1, 8, 8), torch.tensor([0, 2]), tmp_path, names=["a", "b"])


def test_files_that_cannot_be_used(tmp_path):
    with pytest.raises(UnknownNameError, match=r"no classifier is called 'digit' \(did you mean 'digits'\?\)"):
        load_classifier("digit")
    with pytest.raises(UnknownNameError, match="there are digits, fashion, gender"):
        classifier_card("!!")
    with pytest.raises(FileFormatError, match="there is no folder"):
        load_classifier(tmp_path / "nowhere")
    with pytest.raises(FileFormatError, match=r"has no config\.json"):
        load_classifier(tmp_path)
    mine = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), "ab", (1, 8, 8))
    with pytest.raises(IncompatibleError, match="whose network is a Sequential"):
        save_classifier(mine, tmp_path)
    folder = save_classifier(small(), tmp_path / "saved")
    other = save_classifier(small(5), tmp_path / "other")
    (folder / "weights.safetensors").write_bytes((other / "weights.safetensors").read_bytes())
    with pytest.raises(FileFormatError, match="does not fit"):
        load_classifier(folder)
    whole = json.loads((folder / "config.json").read_text())
    for change, message in [
        ({"network": {"class": "os.system", "config": {}}}, "names the class 'os.system'; known are ConvNet"),
        ({"names": ["a", 3]}, "cannot build a Classifier"),
        ({"names": "ab"}, "'names' is missing, or not a list"),
        ({"event_shape": [1, "8", 8]}, "cannot build a Classifier"),
        ({"resize": 1}, "'resize' is missing, or not a bool"),
    ]:
        (folder / "config.json").write_text(json.dumps(whole | change))
        with pytest.raises(FileFormatError, match=message):
            load_classifier(folder)


# Held-out accuracies are .99 and .91 on their cards; four standard errors of a hundred images below them.
@pytest.mark.parametrize(("name", "load", "least"), [("digits", load_digits, 95), ("fashion", load_fashion, 79)])
def test_the_shipped_are_as_good_as_their_cards_say(name, load, least):
    classifier = load_classifier(name)
    assert round(100 * held_out_accuracy(classifier, *load())["accuracy"]) >= least
    assert len(classifier.names) == 10


def test_gender_labels_draws_as_its_card_says():
    prior, classifier = load_prior("faces-dcgan"), load_classifier("gender")
    p = classifier(prior.sample(1, Noise.of(1, 200))[0])
    assert classifier.names == ("female", "male")
    # shares of 1,000 and of 200 differ by .038 at one standard error, mean probabilities by .011
    assert float((p[:, 0] > 0.5).double().mean()) == pytest.approx(0.441, abs=0.15)
    assert float(p.amax(1).mean()) == pytest.approx(0.855, abs=0.045)


def test_gender_knows_a_face_that_fills_the_frame():
    from skimage.data import astronaut  # Eileen Collins

    face = torch.as_tensor(astronaut()[60:170, 170:280].copy()).permute(2, 0, 1) / 127.5 - 1
    assert load_classifier("gender")(face)[0] > 0.99


@pytest.mark.parametrize("name", ["digits", "fashion", "gender"])
def test_what_is_shipped_has_a_card(name):
    assert list_classifiers() == ["digits", "fashion", "gender"]
    card = classifier_card(name)
    for word in ("**Licence.**", "**Limits.**", "**Network.**"):
        assert word in card
    assert not load_classifier(name).training


def test_groups_of_classes() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.tensor([0.2, 0.3, 0.5]).log())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.bias.expand(len(x), 3)

    classifier = Classifier(Fixed(), ("a", "b", "c"), (1, 8, 8))
    x = torch.zeros(2, *(1, 8, 8))
    for members, names, shares in (
        (None, ("a", "b", "c"), [0.2, 0.3, 0.5]),
        ({"ac": ["a", "c"]}, ("ac", "others"), [0.7, 0.3]),
        ({"b": ["b"], "ca": ["c", "a"]}, ("b", "ca"), [0.3, 0.7]),
    ):
        groups = class_groups(classifier, members)
        assert groups.names == names
        assert groups.of(x, (1, 8, 8))[1].tolist() == pytest.approx(shares)
    with pytest.raises(InvalidValueError, match="look at a, a"):
        class_groups(classifier, {"x": ["a"], "y": ["a"]})

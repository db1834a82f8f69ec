"""Groups of a job: labels say who is in a true image, a classifier who is in a reconstruction, and both are kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from posterior.app.config import build_parts, load_config
from posterior.app.datasets import CLOTHES
from posterior.app.jobs.job import Job
from posterior.app.jobs.run import run_job
from posterior.errors import FileFormatError, InvalidValueError, PosteriorError, ShapeError, UnknownNameError
from posterior.fairness import Classifier, load_classifier
from posterior.io.store import Store
from tests.app.jobs.workplace import save_config


class Sign(nn.Module):
    """Two classes by the sign of the last value, "right" the likelier the larger it is, and one that is never seen."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(3.0))

    def forward(self, x: Tensor) -> Tensor:
        last = self.scale * x[..., -1].flatten()
        return torch.stack([-last, last, torch.full_like(last, -1e3)], -1)


CLASSIFIER = Classifier(Sign(), ("left", "right", "never"), (1, 1, 3))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("posterior.app.config.load_classifier", lambda name, device: CLASSIFIER)
    x = np.random.default_rng(0).uniform(-1, 1, (7, 1, 1, 3)).astype(np.float32)
    np.save("x.npy", x)
    np.save("y.npy", x * [1, 0, 0])
    Path("labels.txt").write_text("\n".join(["left", "right", "left", "right", "right", "left", "right"]))


def ran(**changes: Any) -> Store:
    asked = {"data": "pictures:path=x.npy,labels=labels.txt", "classifier": "signs"} | changes
    return run_job(load_config(save_config(**asked), {"out": "out"}), progress=False)


@torch.no_grad()
def seen(x: np.ndarray) -> np.ndarray:
    return CLASSIFIER(torch.from_numpy(x)).numpy()


def test_labels_and_what_the_classifier_sees_are_kept() -> None:
    store, places = ran(methods=["DDRM:steps=3", "TotalVariation:steps=3"]), range(7)
    assert store.manifest["groups"] == ["left", "right", "never"]
    labels = [name == "right" for name in Path("labels.txt").read_text().split()]
    np.testing.assert_array_equal(store.read("groups", places), np.eye(3)[np.array(labels, int)])
    np.testing.assert_allclose(store.read("classified", places), seen(store.read("truth", places)), atol=1e-6)
    samples = store.read("DDRM/samples", places)
    np.testing.assert_allclose(store.read("DDRM/groups", places), seen(samples).mean(1), atol=1e-6)
    estimates = store.read("TotalVariation/estimate", places)
    np.testing.assert_allclose(store.read("TotalVariation/groups", places), seen(estimates), atol=1e-6)


def test_labels_alone() -> None:
    store = ran(classifier=None, groups={"of the left": ["left"]})
    assert store.manifest["groups"] == ["of the left", "others"]
    assert store.read("groups", [0, 1]).tolist() == [[1, 0], [0, 1]]
    assert not store.has("classified") and not store.has("DDRM/groups") and store.has("DDRM/mean")


def test_a_classifier_alone_says_who_is_in_a_true_image() -> None:
    store = ran(data="simulated:count=5", groups={"one": ["left", "never"], "other": ["right"]})
    p = seen(store.read("truth", range(5)))
    np.testing.assert_allclose(store.read("groups", range(5)), np.stack([p[:, 0] + p[:, 2], p[:, 1]], 1), atol=1e-6)
    assert not store.has("classified")


def test_jobs_without_groups_are_what_they_were() -> None:
    store = ran(data="pictures:path=x.npy", classifier=None)
    assert not store.has("groups") and "groups" not in store.manifest


def test_other_labels_are_another_job() -> None:
    ran()
    Path("labels.txt").write_text("right\n" * 7)
    with pytest.raises(PosteriorError, match="different the labels"):
        ran()


def test_shipped_images_are_labelled_if_that_is_asked_for() -> None:
    def labels(data: str) -> Any:
        return build_parts(load_config(save_config(prior="digits", operator="half:keep=top", data=data))).data.labels

    assert labels("digits") is None
    assert labels("digits:labels=true")[:3] == ["0", "1", "2"] and len(labels("fashion:labels=true")) == 100
    assert load_classifier("fashion").names == CLOTHES and {*labels("fashion:labels=true")} == {*CLOTHES}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"data": "simulated:count=2", "classifier": None, "groups": {"a": ["left"]}}, InvalidValueError, "name one"),
        ({"groups": {"a": ["lef"]}}, InvalidValueError, "look at lef"),
        ({"groups": {"a": ["left", "right", "never"]}}, InvalidValueError, "all are 'a'"),
        ({"groups": ["left"]}, InvalidValueError, "groups cannot be"),
        ({"groups": {"a": "left"}}, InvalidValueError, "groups cannot be"),
        ({"data": "measurements:path=y.npy"}, InvalidValueError, "give them labels"),
        ({"data": "pictures:path=x.npy,labels=no.txt"}, FileFormatError, "there is no file no.txt"),
        ({"data": "pictures:path=x.npy,labels=x.npy"}, FileFormatError, "not readable as labels"),
        ({"data": "pictures:path=x.npy,labels=short.txt"}, InvalidValueError, "holds 6 labels, one a line, for 7"),
        ({"data": "pictures:path=x.npy,labels=gap.txt"}, FileFormatError, "no label in line 3"),
        ({"data": "pictures:path=x.npy,labels=odd.txt"}, InvalidValueError, "label 'odd', which the classifier"),
    ],
)
def test_mistakes(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    for name, lines in (("short", "left\n" * 6), ("gap", "left\nleft\n\n" + "left\n" * 4), ("odd", "odd\n" * 7)):
        Path(f"{name}.txt").write_text(lines)
    with pytest.raises(error, match=message):
        ran(**changes)
    assert not Path("out").exists()


def test_what_a_classifier_does_not_take_is_known_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # of the stand-in, and of the folder
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownNameError, match="no classifier"):
        Job(load_config(save_config(classifier="digit")))
    with pytest.raises(ShapeError, match="expected"):
        run_job(load_config(save_config(classifier="digits")), progress=False)

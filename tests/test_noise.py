import dataclasses
import math

import pytest
import torch

from posterior.noise import Noise, philox4x32

# Known answers of Random123's kat_vectors for philox4x32 with 10 rounds: counter, key, output.
KNOWN = [
    ((0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_philox_known_answers(counter, key, expected):
    words = philox4x32([torch.tensor([c]) for c in counter], [torch.tensor([k]) for k in key])
    assert tuple(int(w) for w in words) == expected


def test_normal_moments():
    values = Noise.of(0, 5, 400, dtype=torch.float64).normal((50,))
    n = values.numel()  # standard errors: 1/√n of the mean, √2/√n of the variance, √96/√n of the fourth moment
    assert abs(values.mean()) < 4 / math.sqrt(n)
    assert abs(values.var() - 1) < 4 * math.sqrt(2 / n)
    assert abs((values**4).mean() - 3) < 4 * math.sqrt(96 / n)


def test_uniform_is_inside_the_unit_interval_and_flat():
    for dtype in (torch.float32, torch.float64):
        values = Noise.of(0, 10, 10_000, dtype=dtype).uniform()
        assert values.min() > 0
        assert values.max() < 1
        ecdf = torch.arange(1, values.numel() + 1) / values.numel()
        assert (values.flatten().sort().values - ecdf).abs().max() < 1.95 / math.sqrt(values.numel())  # KS, p = .001


def test_neighbouring_draws_are_uncorrelated():
    values = Noise.of(0, 2, 2000, dtype=torch.float64).normal((4,)).flatten(1)
    correlation = torch.corrcoef(values.T) - torch.eye(8, dtype=torch.float64)
    assert correlation.abs().max() < 4.5 / math.sqrt(2000)


def test_a_draw_depends_on_its_own_address_only():
    noise = Noise.of(7, ["a", "b", 3], 5).at(2).use("x")
    values = noise.normal((3, 5))
    assert torch.equal(values[:, 1:2], Noise.of(7, ["b"], 5).at(2).use("x").normal((3, 5)))
    assert torch.equal(values[:2], noise.for_draws(2).normal((3, 5)))
    later = dataclasses.replace(noise, draws=noise.draws[2:])
    assert torch.equal(values[2:4], later.for_draws(2).normal((3, 5)))
    assert torch.equal(later.times(2).draws, torch.arange(4, 10))
    assert torch.equal(noise.times(3).draws, torch.arange(15))
    assert torch.equal(values[:, [2, 0]], noise.select(torch.tensor([2, 0])).normal((3, 5)))
    # a shorter event is a prefix of a longer one
    assert torch.equal(values.flatten(2)[..., :6], noise.normal((6,)))


@pytest.mark.parametrize(
    "other",
    [
        Noise.of(1, ["a"]),
        Noise.of(0, ["b"]),
        Noise.of(0, ["a"]).at(1),
        Noise.of(0, ["a"]).use("x"),
        Noise.of(0, ["a"]).use("x", 1),
    ],
)
def test_every_part_of_the_address_matters(other):
    assert not torch.equal(Noise.of(0, ["a"]).normal((8,)), other.normal((8,)))


def test_an_integer_and_its_text_are_different_ids():
    assert not torch.equal(Noise.of(0, [1]).normal((4,)), Noise.of(0, ["1"]).normal((4,)))


def test_copies_of_a_measurement_are_independent_and_reproducible():
    noise = Noise.of(7, ["a", "b"], 2000, dtype=torch.float64).at(3).use("x")
    copies = noise.split(3)
    assert copies.lead == (2000, 6)
    values = copies.normal((4,))
    assert torch.equal(values, noise.split(3).normal((4,)))
    # a copy depends on its measurement and its number only
    assert torch.equal(values[:, 3:5], noise.select(torch.tensor([1])).split(2).normal((4,)))
    assert torch.equal(copies.at(4).normal((4,)), noise.at(4).split(3).normal((4,)))
    # neither copies of one measurement, nor those of two, nor the measurements themselves have anything in common
    everything = torch.cat([values, noise.normal((4,))], 1).flatten(1)
    correlation = torch.corrcoef(everything.T) - torch.eye(32, dtype=torch.float64)
    assert correlation.abs().max() < 4.5 / math.sqrt(2000)  # of 496: probability .003
    assert abs(values.mean()) < 4 / math.sqrt(values.numel())


def test_chunks_do_not_show():
    big = Noise.of(0, 3, 50).normal((10_000,))  # many chunks
    one = Noise.of(0, [2], 50).normal((10_000,))
    assert torch.equal(big[:, 2:], one)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_gpu_gives_the_same_words():
    expected = Noise.of(0, 3, 4, dtype=torch.float64).normal((33,))
    found = Noise.of(0, 3, 4, dtype=torch.float64, device="cuda").normal((33,))
    assert torch.allclose(found.cpu(), expected, atol=1e-12)

import pytest
import scipy.fft
import torch

from posterior.noise import Noise
from samplers.map.bases import TRANSFORMS, dct, haar

DOUBLE = torch.float64
each_shape = pytest.mark.parametrize("shape", [(3, 8, 8), (1, 28, 20), (2, 5, 7), (6, 12)])


@each_shape
@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_inverse_is_the_transpose(name: str, shape: tuple[int, ...]) -> None:
    noise = Noise.of(0, 4, dtype=DOUBLE)
    x, c = noise.use("x").normal(shape)[0], noise.use("c").normal(shape)[0]
    transform = TRANSFORMS[name]
    assert torch.allclose(transform.synthesise(transform.analyse(x)), x, atol=1e-12)
    assert torch.allclose(transform.analyse(transform.synthesise(c)), c, atol=1e-12)
    assert torch.allclose((transform.analyse(x) * c).sum(), (x * transform.synthesise(c)).sum())


@each_shape
def test_the_cosine_transform_is_scipys(shape: tuple[int, ...]) -> None:
    x = Noise.of(0, 4, dtype=DOUBLE).normal(shape)[0]
    assert torch.allclose(dct(x), torch.as_tensor(scipy.fft.dctn(x.numpy(), axes=(-2, -1), norm="ortho")), atol=1e-12)


def test_the_haar_transform_is_pywavelets() -> None:
    pywt = pytest.importorskip("pywt")
    x = Noise.of(0, 2, dtype=DOUBLE).normal((12, 20))[0]  # sides that can be halved twice
    for image, found in zip(x, haar(x), strict=True):
        expected, _ = pywt.coeffs_to_array(pywt.wavedec2(image.numpy(), "haar", mode="periodization", level=2))
        assert torch.allclose(found, torch.as_tensor(expected), atol=1e-12)


def test_an_image_is_left_as_it_was() -> None:
    x = torch.ones(1, 4, 4)
    haar(x)
    assert torch.equal(x, torch.ones(1, 4, 4))

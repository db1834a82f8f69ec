from typing import Any

import pytest
import torch

from posterior.data import Geometry, RawSlice
from posterior.data.kspace import crop_oversampling
from posterior.errors import FileFormatError, InvalidValueError, NotFiniteError, PosteriorError, ShapeError
from posterior.noise import Noise
from posterior.operators.fourier import centred_fft, centred_ifft

KSPACE = torch.complex(*Noise.of(0).normal((2, 3, 8, 5))[0, 0])


@pytest.mark.parametrize(("rows", "length"), [(8, 8), (8, 4), (8, 5), (9, 5), (9, 4), (7, 1)])
def test_oversampling_is_cropped_about_the_origin(rows: int, length: int) -> None:
    """The origin of the image, row ⌊n/2⌋, stays there, for even and odd n."""
    image = torch.complex(*Noise.of(1).normal((2, 3, rows, 5))[0, 0])
    found = centred_ifft(crop_oversampling(centred_fft(image), length))
    first = rows // 2 - length // 2
    torch.testing.assert_close(found, image[:, first : first + length], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found[:, length // 2], image[:, rows // 2], atol=1e-6, rtol=1e-5)


def test_white_noise_stays_as_strong() -> None:
    """Variance 1 of 40,000 parts, off by 0.7 % (standard deviation): 4 % is more than five of them."""
    noise = torch.complex(*Noise.of(2).normal((2, 1, 200, 200))[0, 0])
    cropped = crop_oversampling(noise, 100)
    assert float(torch.view_as_real(cropped).var()) == pytest.approx(1, abs=0.04)


def _raw(**changes: Any) -> RawSlice:
    return RawSlice(**{"source": "scan.h5, slice 2", "kspace": KSPACE, "mask": torch.ones(5) == 1} | changes)


def test_maps_have_the_precision_of_k_space() -> None:
    maps = _raw(kspace=KSPACE.to(torch.complex128), maps=KSPACE).maps
    assert maps is not None and maps.dtype == torch.complex128
    maps = _raw(maps=KSPACE.to(torch.complex128)).maps
    assert maps is not None and maps.dtype == torch.complex64


def test_good_slices() -> None:
    some = torch.tensor([True, False, True, True, True])
    assert _raw(mask=some, kspace=KSPACE * some).pixel_spacing is None
    assert _raw(mask=some.expand(8, 5), kspace=KSPACE * some, maps=KSPACE, reference=torch.ones(4, 4)).noise is None
    assert _raw(noise=KSPACE[:, 0], geometry=Geometry((3, 2, 1))).pixel_spacing == (2, 1)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"kspace": KSPACE[0]}, ShapeError, r"k-space of shape \(8, 5\); expected \(C, H, W\)"),
        ({"kspace": KSPACE.real}, InvalidValueError, "k-space holds torch.float32; expected complex"),
        ({"kspace": KSPACE * torch.nan}, NotFiniteError, "k-space: NaN or infinity in 120 of 120 values"),
        ({"kspace": 0 * KSPACE}, FileFormatError, "k-space is zero"),
        ({"mask": torch.ones(5)}, ShapeError, "the mask is torch.float32"),
        ({"mask": torch.ones(8) == 1}, ShapeError, r"of shape \(8,\); expected bools of shape \(5,\) or \(8, 5\)"),
        ({"mask": torch.arange(5) > 0}, InvalidValueError, "not zero where the mask says that nothing was measured"),
        ({"noise": KSPACE[:2, 0]}, ShapeError, r"noise of shape \(2, 5\); expected \(3, samples\)"),
        ({"noise": KSPACE[:, 0].real}, InvalidValueError, "noise holds torch.float32; expected complex"),
        ({"maps": KSPACE[:2]}, ShapeError, r"maps of shape \(2, 8, 5\); expected \(3, 8, 5\)"),
        ({"reference": torch.ones(3)}, ShapeError, "reference of shape"),
        ({"reference": torch.ones(0, 3)}, ShapeError, r"reference of shape \(0, 3\); expected \(H, W\)"),
        ({"noise": KSPACE[:, 0, :0]}, ShapeError, r"noise of shape \(3, 0\)"),
        ({"source": 3}, InvalidValueError, "RawSlice needs source to be text"),
        ({"reference": KSPACE[0]}, InvalidValueError, "reference holds torch.complex64; expected real"),
    ],
)
def test_what_does_not_fit(changes: dict[str, Any], error: type[PosteriorError], message: str) -> None:
    with pytest.raises(error, match=message) as raised:
        _raw(**changes)
    assert "source" in changes or str(raised.value).startswith("scan.h5, slice 2: ")

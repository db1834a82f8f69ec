import sys
from types import ModuleType
from urllib.error import URLError

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from posterior.errors import FileFormatError, InvalidValueError, ShapeError
from posterior.metrics import PerceptualDistance
from posterior.noise import Noise

ST = ("st-alex", "st-vgg")
BACKBONES = [("alex", "alexnet-owt-7be5be79.pth"), ("vgg", "vgg16-397923af.pth")]


def smooth(count: int = 2, channels: int = 3, side: int = 32) -> Tensor:
    """Images in [−1, 1] whose values change over a few pixels."""
    coarse = Noise.of(2, count).normal((channels, side // 4, side // 4))[0]
    return torch.tanh(functional.interpolate(coarse, size=(side, side), mode="bicubic"))


def noise(x: Tensor) -> Tensor:
    return Noise.of(3, len(x), dtype=x.dtype).normal(x.shape[1:])[0]


def check_least_side(distance: PerceptualDistance, monkeypatch: pytest.MonkeyPatch) -> None:
    side = distance.least_side
    x = torch.zeros(1, 3, side, side + 5)
    assert distance(x, x).tolist() == [0]
    small = x[..., : side - 1, :]
    with pytest.raises(ShapeError, match=f"at least {side} × {side} pixels, got {side - 1} × {side + 5}"):
        distance(small, small)
    monkeypatch.setattr("posterior.metrics.perceptual._LEAST_SIDE", {distance.network: 1})
    with pytest.raises(RuntimeError):
        distance(small, small)


@pytest.fixture(scope="module")
def distance() -> PerceptualDistance:
    return PerceptualDistance("st-alex")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """torch.hub's folder of checkpoints, empty, and no network."""

    def unreachable(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("network", ST)
def test_st_lpips_is_that_of_its_package(network, monkeypatch):
    for name, attribute in (("torchsummary", "summary"), ("IPython", "embed")):
        absent = ModuleType(name)  # undeclared, and used for printing alone
        setattr(absent, attribute, None)
        monkeypatch.setitem(sys.modules, name, absent)
    package = pytest.importorskip("stlpips_pytorch.stlpips")
    theirs = package.LPIPS(net=network[3:], variant="shift_tolerant", verbose=False)
    x = smooth()
    y = x + 0.3 * noise(x)
    with torch.no_grad():
        assert torch.allclose(PerceptualDistance(network)(x, y), theirs(x, y).flatten(), rtol=1e-4)


@pytest.mark.parametrize(("network", "file"), BACKBONES)
@pytest.mark.filterwarnings("ignore:The parameter 'pretrained':UserWarning")
@pytest.mark.filterwarnings("ignore:Arguments other than a weight enum:UserWarning")
def test_lpips_is_that_of_its_package(network, file, hub, monkeypatch):
    """With a backbone of random weights, in torchvision's format."""
    package = pytest.importorskip("lpips")
    kind = {"vgg": "vgg16", "alex": "alexnet"}[network]
    with torch.device("meta"):  # without memory, of which the classifier that LPIPS leaves out would take most
        backbone = getattr(package.pn, kind)(pretrained=False)
    weights = {}
    for key, value in backbone.state_dict().items():  # slice1.0.weight, …
        scale = (2 / value[0].numel()) ** 0.5 if key.endswith("weight") else 0.1
        weights[key] = scale * Noise.of(4, 1).use(key).normal(value.shape)[0, 0]
    backbone.load_state_dict(weights, assign=True)
    features = {"features." + key.split(".", 1)[1]: value for key, value in weights.items()}
    torch.save({**features, "classifier.1.bias": torch.zeros(3)}, hub / file)
    monkeypatch.setattr(package.pn, kind, lambda **settings: backbone)
    theirs, ours = package.LPIPS(net=network, verbose=False), PerceptualDistance(network)
    x = smooth(side=48)
    y = x + 0.3 * noise(x)
    with torch.no_grad():
        assert torch.allclose(ours(x, y), theirs(x, y).flatten(), rtol=1e-4)
    assert (ours(x, y) > 0).all()
    check_least_side(ours, monkeypatch)


@pytest.mark.parametrize("network", ST)
def test_zero_on_equal_images_symmetric_and_positive(network):
    distance, x = PerceptualDistance(network), smooth()
    y = x + 0.2 * noise(x)
    assert (distance(x, x) == 0).all()
    assert torch.equal(distance(x, y), distance(y, x))
    assert (distance(x, y) > 0).all()


def test_grows_with_noise_and_with_blur(distance):
    x = smooth()
    noisy = torch.stack([distance(x + level * noise(x), x) for level in (0.1, 0.3, 0.6)])
    assert (noisy.diff(dim=0) > 0).all()
    blurred = torch.stack([distance(functional.avg_pool2d(x, size, 1, size // 2), x) for size in (3, 5, 9)])
    assert (blurred.diff(dim=0) > 0).all()


def test_grey_is_shown_as_colour(distance):
    x = smooth(channels=1)
    y = x + 0.2 * noise(x)
    assert torch.equal(distance(x, y), distance(x.expand(-1, 3, -1, -1), y.expand(-1, 3, -1, -1)))


def test_rows_do_not_meet_and_truth_broadcasts(distance, monkeypatch):
    x = smooth(count=3)
    draws = torch.stack([x + 0.2 * noise(x), x - 0.4 * noise(x)])
    whole = distance(draws, x)
    assert whole.shape == (2, 3)
    one = torch.stack([torch.stack([distance(draws[s, b], x[b]) for b in range(3)]) for s in range(2)])
    assert torch.allclose(whole, one, rtol=1e-4)
    monkeypatch.setattr("posterior.metrics.perceptual._CHUNK", 1)
    assert torch.allclose(distance(draws, x), one, rtol=1e-6)


def test_precision_is_that_of_the_images(distance):
    x = smooth().double()
    y = x + 0.2 * noise(x)
    value = distance(x, y)
    assert value.dtype == torch.float64
    assert torch.allclose(value.float(), distance(x.float(), y.float()))
    double = PerceptualDistance("st-alex").double()
    assert torch.allclose(double(x, y), value, rtol=1e-4)
    assert double(x.float(), y.float()).dtype == torch.float32


@pytest.mark.parametrize("network", ST)
@pytest.mark.parametrize("image", ["equal", "other", "constant"])
def test_gradients_are_finite(network, image):
    distance = PerceptualDistance(network)
    x = (torch.zeros(1, 3, 32, 32) if image == "constant" else smooth(1)).requires_grad_()
    y = x.detach().clone()
    y = y + 0.3 * noise(y) if image == "other" else y
    (slope,) = torch.autograd.grad(distance(x, y).sum(), x)
    assert slope.isfinite().all()
    assert (slope.abs().max() > 0) == (image == "other")


def test_gradient_is_finite_where_no_feature_is_active():
    x = smooth(1).requires_grad_()
    silent = PerceptualDistance("st-alex")
    for name, parameter in silent.layers.named_parameters():
        parameter.fill_(-1.0 if name.endswith("bias") else 0.0)
    (slope,) = torch.autograd.grad(silent(x, noise(x.detach())).sum(), x)
    assert (slope == 0).all()


def test_the_gradient_is_that_of_the_distance():
    distance = PerceptualDistance("st-alex").double()
    x = smooth(1).double()
    truth, direction = x + 0.5 * noise(x), noise(x).flip(-1)
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(distance(leaf, truth).sum(), leaf)
    step = 1e-6 * direction
    difference = (distance(x + step, truth) - distance(x - step, truth)) / 2e-6
    assert torch.allclose((slope * direction).sum(), difference.sum(), rtol=1e-4)


def test_it_is_frozen_and_draws_nothing(capsys):
    before = torch.get_rng_state()
    distance = PerceptualDistance("st-alex").train()
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(parameter.requires_grad for parameter in distance.parameters())
    x = smooth()
    assert torch.equal(distance(x, -x), distance.eval()(x, -x))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("network", ST)
def test_the_least_side_is_what_the_network_takes(network, monkeypatch):
    check_least_side(PerceptualDistance(network), monkeypatch)


def test_images_that_do_not_fit(distance):
    x = smooth()
    with pytest.raises(ShapeError, match="1 or 3 channels"):
        distance(x[:, :2], x[:, :2])
    with pytest.raises(ShapeError, match="images of shape"):
        distance(x, x[..., :-1])
    with pytest.raises(InvalidValueError, match="float"):
        distance(x.int(), x)


def test_an_unknown_network_is_named():
    with pytest.raises(InvalidValueError, match="'st-alex', not 'squeeze'"):
        PerceptualDistance("squeeze")


@pytest.mark.parametrize(("network", "file"), BACKBONES)
def test_a_backbone_that_cannot_be_fetched(network, file, hub):
    with pytest.raises(FileFormatError) as caught:
        PerceptualDistance(network)
    for part in (file, str(hub), f"https://download.pytorch.org/models/{file}", f"'st-{network}'", "no network"):
        assert part in str(caught.value)


@pytest.mark.parametrize("content", ["nothing", "other", "list"])
def test_a_backbone_that_is_none(content, hub):
    path = hub / "alexnet-owt-7be5be79.pth"
    if content == "nothing":
        path.write_bytes(b"nothing")
    else:
        torch.save({"features.0.weight": torch.zeros(3)} if content == "other" else [1], path)
    with pytest.raises(FileFormatError, match=path.name):
        PerceptualDistance("alex")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("posterior.metrics.perceptual.find_spec", lambda name: None)
    with pytest.raises(FileFormatError, match="pip install stlpips-pytorch"):
        PerceptualDistance("st-vgg")

import pytest
import torch

from posterior.errors import InvalidValueError
from posterior.networks.mlp_mixer import MLPMixer
from posterior.noise import Noise

# Its layers are compared with numbers of the authors' code, and with a forward in numpy, in
# tests/priors/checkpoints/test_galaxygrad.py.


def test_each_image_has_its_own_time() -> None:
    torch.manual_seed(0)
    network = MLPMixer(8, 2, 4, 5, 6, 7, 2, last_time=4.0).double()
    x, time = Noise.of(0, 3, dtype=torch.float64).normal((2, 8, 8))[0], torch.tensor([0.1, 1.0, 4.0]).double()
    out = network(x, time)
    assert out.shape == x.shape
    for row in range(3):
        assert torch.allclose(out[row], network(x[row : row + 1], time[row : row + 1])[0])
    assert not torch.allclose(out, network(x, time.flip(0)))
    later = MLPMixer(8, 2, 4, 5, 6, 7, 2, last_time=8.0).double()
    later.load_state_dict(network.state_dict())
    assert torch.allclose(later(x, 2 * time), out)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"size": 6}, "side 4 do not divide"), ({"patch": 0}, "are positive"), ({"blocks": -1}, "are positive")],
)
def test_settings_are_checked(settings: dict, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        MLPMixer(**settings)

"""Methods by their names."""

from pathlib import Path

from posterior.mri import MoDLNetwork, ReconstructionUNet, VariationalNetwork, save_network

_TRAINED = {"MoDL": MoDLNetwork(2, 1), "UNet": ReconstructionUNet(2, 1), "VarNet": VariationalNetwork(2, 2, 1)}


def text_of(name: str, folder: Path) -> str:
    """The text that builds a method: its name, and of a trained one a network that is written to the folder."""
    return f"{name}:network={save_network(_TRAINED[name], folder)}" if name in _TRAINED else name

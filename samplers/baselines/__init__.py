"""Reconstructions for comparison: of MRI, and by other people's packages."""

from samplers.baselines.bm3d import BM3D
from samplers.baselines.cg_sense import CGSense
from samplers.baselines.conv_decoder import ConvDecoder
from samplers.baselines.supervised import MoDL, UNet, VarNet
from samplers.baselines.zero_filled import ZeroFilled

__all__ = ["BM3D", "CGSense", "ConvDecoder", "MoDL", "UNet", "VarNet", "ZeroFilled"]

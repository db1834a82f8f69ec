"""Reconstructions by other people's packages, for comparison."""

from samplers.baselines.bm3d import BM3D

__all__ = ["BM3D"]

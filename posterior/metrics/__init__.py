"""How far an estimate is from the truth."""

from posterior.metrics.image import nmse, psnr, ssim
from posterior.metrics.perceptual import PerceptualDistance

__all__ = ["PerceptualDistance", "nmse", "psnr", "ssim"]

"""How far an estimate is from the truth."""

from posterior.metrics.image import nmse, psnr, ssim

__all__ = ["nmse", "psnr", "ssim"]

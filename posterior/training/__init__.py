"""Training of priors."""

from posterior.training.loop import train
from posterior.training.score import denoising_loss, held_out_denoising_error, train_score

__all__ = ["denoising_loss", "held_out_denoising_error", "train", "train_score"]

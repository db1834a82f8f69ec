"""Training of priors, of classifiers, and of networks that reconstruct."""

from posterior.training.classifier import held_out_accuracy, train_classifier
from posterior.training.flow import bits, flow_loss, held_out_bits, train_flow
from posterior.training.loop import train
from posterior.training.reconstruction import reconstruction_loss, train_reconstruction
from posterior.training.score import denoising_loss, held_out_denoising_error, mirrored, train_score
from posterior.training.vae import held_out_elbo, negative_elbo, train_vae, vae_loss

__all__ = [
    "bits",
    "denoising_loss",
    "flow_loss",
    "held_out_accuracy",
    "held_out_bits",
    "held_out_denoising_error",
    "held_out_elbo",
    "mirrored",
    "negative_elbo",
    "reconstruction_loss",
    "train",
    "train_classifier",
    "train_flow",
    "train_reconstruction",
    "train_score",
    "train_vae",
    "vae_loss",
]

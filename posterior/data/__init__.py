"""Images: shipped ones, and those in files."""

from posterior.data.images import load_images
from posterior.data.shipped import load_brain, load_digits, load_fashion

__all__ = ["load_brain", "load_digits", "load_fashion", "load_images"]

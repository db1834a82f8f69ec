"""Point estimates on generators, against fixed bases."""

"""Flow priors and their samplers."""

"""What else is done with generators: robustness, inversion, phase retrieval, and the theory."""

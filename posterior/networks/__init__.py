"""Networks that priors and classifiers are made of: one architecture a module, and the `table` of their names."""

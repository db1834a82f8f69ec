"""The samplers of deepinv beside ours."""

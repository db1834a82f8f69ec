"""Magnetic resonance imaging: a prior of heads, its training and what it is worth."""

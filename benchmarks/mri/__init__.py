"""Magnetic resonance imaging: the prior `brain`, its training and what it is worth."""

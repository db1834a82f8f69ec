"""What a checkpoint must not be able to do."""

from pathlib import Path


class Harm:
    """Runs when it is unpickled."""

    def __reduce__(self):
        return (Path("harm-was-done").touch, ())

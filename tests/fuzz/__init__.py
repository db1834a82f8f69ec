"""Odd input given to all that is public: it is refused in words, or it is fine and the result works."""

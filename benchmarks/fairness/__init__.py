"""What reconstructions do to groups."""

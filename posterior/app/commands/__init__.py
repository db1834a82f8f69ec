"""The commands, each a function whose arguments are its options."""

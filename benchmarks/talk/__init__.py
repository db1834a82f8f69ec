"""Systems that the talk names, measured."""

"""Shares of groups among reconstructions."""

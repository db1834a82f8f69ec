"""Blind reader studies: readers rank shuffled reconstructions beside a reference, and the ranks are analysed."""

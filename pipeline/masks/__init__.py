"""Mask sources: each turns what a reader drew into a mask on its own picture."""

from ...features.shelf import Shelf

SHELF = Shelf(__name__, "mask source")

"""Selectors: each chooses features inside a fold."""

from ...features.shelf import Shelf

SHELF = Shelf(__name__, "selector")

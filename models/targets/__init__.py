"""Targets: each turns a cohort's labels into one binary endpoint."""

from ...features.shelf import Shelf

SHELF = Shelf(__name__, "target")

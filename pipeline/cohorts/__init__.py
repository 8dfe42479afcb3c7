"""Cohort readers: each turns a user's files into cases."""

from ...features.shelf import Shelf

SHELF = Shelf(__name__, "cohort reader")

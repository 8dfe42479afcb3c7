"""Feature families: each turns a case into named numbers."""

from ..shelf import Shelf

SHELF = Shelf(__name__, "feature family")

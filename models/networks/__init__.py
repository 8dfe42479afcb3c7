"""Networks that are trained here."""

from ...features.shelf import Shelf

SHELF = Shelf(__name__, "network")

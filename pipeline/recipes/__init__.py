"""Published systems as study files: data only. None yet."""

from ...features.shelf import Shelf

SHELF = Shelf(__name__, "recipe")

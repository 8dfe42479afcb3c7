"""Networks that are trained here. None yet: segmenters come with automatic masks."""

from ...features.shelf import Shelf

SHELF = Shelf(__name__, "network")

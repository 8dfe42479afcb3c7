"""Report sections: each turns facts of a result into one part of the page."""

from ...features.shelf import Shelf

SHELF = Shelf(__name__, "report section")

"""Learners: each fits a probability to chosen features inside a fold."""

from ...features.shelf import Shelf

SHELF = Shelf(__name__, "learner")

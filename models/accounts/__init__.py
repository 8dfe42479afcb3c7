"""Accounts: each is a table that tells more of a fold's model than its SHAP values, made while the model is there."""

from ...features.shelf import Shelf

SHELF = Shelf(__name__, "account")

"""All shelves by name, for `cemrad list` and for whoever wants to look around."""

from __future__ import annotations

from ..features.families import SHELF as FAMILIES
from ..features.shelf import Shelf
from ..models.accounts import SHELF as ACCOUNTS
from ..models.learners import SHELF as LEARNERS
from ..models.networks import SHELF as NETWORKS
from ..models.selectors import SHELF as SELECTORS
from ..models.targets import SHELF as TARGETS
from ..reports.sections import SHELF as SECTIONS
from .cohorts import SHELF as COHORTS
from .masks import SHELF as MASKS
from .recipes import SHELF as RECIPES

SHELVES: dict[str, Shelf] = {
    "cohorts": COHORTS,
    "masks": MASKS,
    "families": FAMILIES,
    "selectors": SELECTORS,
    "learners": LEARNERS,
    "targets": TARGETS,
    "networks": NETWORKS,
    "accounts": ACCOUNTS,
    "sections": SECTIONS,
    "recipes": RECIPES,
}

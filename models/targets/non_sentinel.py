"""Non-sentinel node metastasis, among patients with a positive sentinel node."""

from dataclasses import replace

from .nodal import TARGET as NODAL
from .sentinel import TARGET as SENTINEL

# The question after a positive sentinel node, as in Van Zee 2003, doi 10.1245/ASO.2003.03.015. A patient without one
# is no negative: her other nodes were not taken, or their state is another question.
TARGET = replace(
    NODAL,
    title="Non-sentinel node metastasis",
    positive="non-sentinel node positive",
    sources=(
        "non_sentinel", "nonsentinel", "non_sentinel_status", "non_sentinel_metastasis", "non_sentinel_node_metastasis",
        "non_sentinel_lymph_node_metastasis", "nsln", "nsln_status", "nsln_metastasis", "nslnm",
    ),
    words=SENTINEL.words,
    among=SENTINEL,
)  # fmt: skip

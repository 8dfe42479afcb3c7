"""Caveats: what a reader must know before any figure, because it could explain all of them."""

from __future__ import annotations

from collections.abc import Iterator

from ..models.result import Result

CDD_CESM = "CDD-CESM"
STYLE_NOTE = "contour.style"
"""Code of the note in which a cohort's reader states how well the way of drawing alone tells the classes apart."""
DRAWING_PANEL = "drawing"


def gather(result: Result) -> tuple[str, ...]:
    """Warnings about how the masks were drawn, one sentence or two each; none where nothing is known against them.

    Parameters
    ----------
    result : Result
    """
    return tuple(_drawing(result))


def _drawing(result: Result) -> Iterator[str]:
    notes = [str(note["text"]) for note in result.cohort.get("notes", []) if note["code"] == STYLE_NOTE]
    if result.cohort.get("name") == CDD_CESM or notes:
        told = notes[0].removeprefix("WARNING: ") if notes else _UNCOUNTED
        yield (
            f"Mask drawing: {told}. A malignancy result that uses these masks is no evidence that the images show it; "
            "look at the leak audit's model of the drawing alone."
        )
    panel = result.tables.get("confounders")
    if panel is None:
        return
    for row in panel[(panel["panel"] == DRAWING_PANEL) & panel["explains"].astype(bool)].to_dict("records"):
        title = result.endpoints.get(str(row["endpoint"]), {}).get("title", row["endpoint"])
        yield (
            f"Mask drawing: a model that knows only how the masks were drawn predicts {title} with an AUC of "
            f"{row['auc']:.2f} [{row['low']:.2f}, {row['high']:.2f}] on the same held-out patients. What the arms "
            "reach may be the drawing."
        )


_UNCOUNTED = (
    "in this data set malignant lesions were outlined with more points than benign ones, so that the way a lesion was "
    "drawn gives its label away, and shape features carry it"
)

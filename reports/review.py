"""The review sheet: drawn masks beside their pictures, for a reader to accept, reject or have corrected."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from .page import content_policy
from .template import fill, read_part
from .thumbnail import Thumbnail


@dataclass(frozen=True)
class ReviewRegion:
    """One candidate on a sheet.

    Parameters
    ----------
    number, area_px : int
    score : float
    accepted : bool
        By the drawer.
    reason : str
        Why it was not.
    outline : str
        SVG path in the thumbnail's pixels.
    x, y : float
        Where its number stands.
    verdict : str
        ``accept``, ``reject`` or empty.
    comment : str
        What a reader wrote beside it.
    """

    number: int
    area_px: int
    score: float
    accepted: bool
    reason: str
    outline: str
    x: float
    y: float
    verdict: str = ""
    comment: str = ""


@dataclass(frozen=True)
class ReviewPicture:
    """One picture on a sheet.

    Parameters
    ----------
    name, image_type : str
        ``RC_CC`` and ``RC``.
    thumbnail : Thumbnail, optional
    state : str
        What counts now, in words.
    reason : str
        Why there is no mask, or no picture.
    kind : {"found", "none", "rejected", "failed", "reader"}
        What a filter goes by.
    score : float, optional
        The highest of an accepted region.
    regions : tuple of ReviewRegion
    outline : str
        SVG path of a mask that a reader drew.
    notes : str
        The drawer's.
    can_judge : bool
        Whether there is something to judge.
    can_accept : bool
        Whether the drawer accepted a region.
    verdict, file, comment, drawing : str
        As in ``review.csv``.
    """

    name: str
    image_type: str
    thumbnail: Thumbnail | None
    state: str
    kind: str
    reason: str = ""
    score: float | None = None
    regions: tuple[ReviewRegion, ...] = ()
    outline: str = ""
    notes: str = ""
    can_judge: bool = False
    can_accept: bool = False
    verdict: str = ""
    file: str = ""
    comment: str = ""
    drawing: str = ""


@dataclass(frozen=True)
class ReviewCard:
    """The pictures of one view of one case, and why they should be looked at; no reason where they need not."""

    case_id: str
    view: str
    laterality: str
    pictures: tuple[ReviewPicture, ...]
    reasons: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The case's id for the page's script: JSON in ASCII, so that it comes back byte for byte."""
        return json.dumps(self.case_id)

    @property
    def score(self) -> float | None:
        """The lowest score of its pictures with a drawn mask; what should be looked at first has none."""
        scores = [picture.score for picture in self.pictures if picture.score is not None]
        return min(scores) if scores and len(scores) == len(self.drawn) else None

    @property
    def drawn(self) -> tuple[ReviewPicture, ...]:
        """Pictures that a drawer was to draw."""
        return tuple(picture for picture in self.pictures if picture.kind != "reader")

    @property
    def kinds(self) -> str:
        """Kinds of its pictures, and ``look`` where it needs one."""
        kinds = dict.fromkeys(picture.kind for picture in self.pictures)
        return " ".join([*kinds, *(["look"] if self.reasons else [])])


@dataclass(frozen=True)
class ReviewPage:
    """One page of a review.

    Parameters
    ----------
    title, drawer : str
        Names of the cohort and of what drew.
    cards : sequence of ReviewCard
    names : sequence of str
        File names of all pages, in order.
    number : int
        Of this one, from 1.
    csv_name : str
        Where its verdicts are kept.
    kept : str
        Lines of that file, as CSV, which are about nothing on this page, and must not be lost.
    n_not_drawn : int
        Pictures of the cohort that the folder does not know.
    phantom : bool
    """

    title: str
    drawer: str
    cards: Sequence[ReviewCard]
    names: Sequence[str]
    number: int
    csv_name: str
    kept: str = ""
    n_not_drawn: int = 0
    phantom: bool = False


def render_review(page: ReviewPage) -> str:
    """The page as the text of one HTML file that needs nothing else."""
    script = read_part("review.js")
    pictures = [picture for card in page.cards for picture in card.pictures]
    return str(
        fill(
            "review.html.j2",
            page=page,
            n_kinds={kind: sum(p.kind == kind for p in pictures) for kind in dict.fromkeys(p.kind for p in pictures)},
            n_look=sum(bool(card.reasons) for card in page.cards),
            style=Markup(read_part("page.css") + read_part("review.css")),
            script=Markup(script),
            kept=json.dumps(page.kept),
            policy=content_policy(script),
        )
    )

"""What a user of CDD-CESM must know: every trap of its tables, counted and named.

Counts are of the tables at hand, never of the publication.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np
from sklearn.metrics import roc_auc_score

from .cdd_cesm_tables import FINDINGS, Annotation, Tables, by_breast, pairs
from .cohort import Note
from .contour import Region

ALIGNED_PX = 2
"""Contours copied between the images of a view within this shift (|dx| + |dy|) count as aligned."""

Shift = tuple[float, float]


def table_notes(tables: Tables) -> list[Note]:
    """Notes on the workbook and the contours; one whose count is 0 is left out."""
    notes = [*_naming_notes(tables), *_label_notes(tables)]
    if tables.has_contours:
        notes += [*_contour_notes(tables), _shift_note(tables), _style_note(tables)]
    notes.append(Note("spacing.none", "no pixel spacing is stated: every size is in pixels", len(tables.annotations)))
    return [note for note in notes if note.count]


def table_counts(tables: Tables) -> dict[str, int]:
    """Facts to check against the publication, and the account of the join by image name."""
    names = {a.name for a in tables.annotations}
    regions = [region for image in tables.contours.values() for region in image.regions]
    shapes = Counter(region.shape for region in regions)
    return {
        "images": len(tables.annotations),
        "patients": len({a.patient for a in tables.annotations}),
        "breasts": len(by_breast(tables.annotations)),
        "pairs": len(pairs(tables.annotations)),
        "regions": len(regions),
        "images_with_regions": len(tables.contours),
        **{f"regions_{shape}": shapes[shape] for shape in ("polygon", "ellipse", "circle", "polyline", "point")},
        "contours_matched": len(names & set(tables.contours)),
        "contours_unmatched": len(set(tables.contours) - names),
        "images_without_regions": len(names - set(tables.contours)),
    }


def _note(code: str, text: str, items: Iterable[str]) -> Note:
    names = tuple(items)
    return Note(code, text, len(names), names)


def _naming_notes(tables: Tables) -> list[Note]:
    rows = tables.annotations

    def where(test: Callable[[Annotation], bool]) -> list[str]:
        return [a.name for a in rows if test(a)]

    return [
        _note("name.padded", "image names with outer blanks, which are cut off", where(lambda a: a.padded)),
        _note(
            "name.type_spelling",
            "recombined images: CM in the file name, CESM in the workbook; both are read as RC",
            where(lambda a: a.image_type == "RC"),
        ),
        _note(
            "name.mismatch",
            "rows whose patient, side, type or view is not that of the image name; the name is believed",
            where(lambda a: not a.agrees),
        ),
        _note("view.second", "images of a second MLO exposure, kept as view MLO2", where(lambda a: a.view == "MLO2")),
        _note(
            "birads.composite",
            "images with several BI-RADS grades, one per finding; the highest is used",
            where(lambda a: "$" in a.birads),
        ),
        _note(
            "birads.parts",
            "images that list another number of findings than of BI-RADS grades",
            where(lambda a: a.findings.count("$") != a.birads.count("$")),
        ),
    ]


def _label_notes(tables: Tables) -> list[Note]:
    rows = tables.annotations
    breasts = by_breast(rows)
    patients: dict[str, set[str]] = {}
    for a in rows:
        patients.setdefault(f"P{a.patient}", set()).add(a.finding)

    def graded(finding: str, grade: int) -> list[str]:
        return [a.name for a in rows if a.finding == finding and a.birads_max == grade]

    return [
        _note(
            "label.pair",
            "low-energy / recombined pairs whose labels differ; the breast takes the most severe",
            [f"{le.name}: {le.finding}, {rc.name}: {rc.finding}" for le, rc in pairs(rows) if le.finding != rc.finding],
        ),
        _note(
            "label.breast",
            "breasts whose images have different labels; the most severe wins",
            [name for name, group in breasts.items() if len({a.finding for a in group}) > 1],
        ),
        _note(
            "label.patient",
            "patients with benign and malignant images; folds are grouped by patient",
            [name for name, found in patients.items() if {"benign", "malignant"} <= found],
        ),
        _note(
            "label.malignant_birads_1",
            "images labelled malignant with BI-RADS 1: the label is the breast's pathology, not what this image shows",
            graded("malignant", 1),
        ),
        _note("label.malignant_birads_2", "images labelled malignant with BI-RADS 2", graded("malignant", 2)),
        _note("label.normal_birads_6", "images labelled normal with BI-RADS 6 (after therapy)", graded("normal", 6)),
    ]


def _contour_notes(tables: Tables) -> list[Note]:
    rows = tables.annotations
    regions = [(name, region) for name, image in tables.contours.items() for region in image.regions]

    def undrawn(*findings: str) -> list[str]:
        return [a.name for a in rows if a.finding in findings and a.name not in tables.contours]

    def of_shape(shape: str) -> list[str]:
        return [name for name, region in regions if region.shape == shape]

    known = {a.name for a in rows}
    return [
        _note(
            "contour.negative",
            "regions with a negative coordinate; what lies outside the picture is cut off",
            [name for name, region in regions if min(*region.xs, *region.ys) < 0],
        ),
        _note("contour.polyline", "polylines, read as closed outlines unless polylines: ignored", of_shape("polyline")),
        _note("contour.point", "points, drawn as discs of point_radius_px", of_shape("point")),
        _note(
            "contour.normal",
            "images labelled normal that carry regions",
            [a.name for a in rows if a.finding == "normal" and a.name in tables.contours],
        ),
        _note("contour.missing_malignant", "images labelled malignant without any region", undrawn("malignant")),
        _note(
            "contour.missing",
            "images labelled benign or malignant without any region: their pictures have no mask",
            undrawn(*FINDINGS[1:]),
        ),
        _note(
            "contour.unmatched",
            "images with regions that the workbook does not name; they are not used",
            sorted(set(tables.contours) - known),
        ),
    ]


def copied_shift(first: tuple[Region, ...], second: tuple[Region, ...]) -> Shift | None:
    """How far contours were moved when they were copied from one image to the other of a view.

    Only regions of exactly the same form can be compared. Where they disagree, the shift that most
    of them share is returned; of several, the one with the smallest (dx, dy).

    Returns
    -------
    tuple of float or None
        dx, dy in pixels from `first` to `second`; None where no form occurs in both.

    Examples
    --------
    >>> copied_shift((Region("circle", (10,), (20,), 5, 5),), (Region("circle", (13,), (18,), 5, 5),))
    (3, -2)
    """
    shifts = Counter(
        (there.xs[0] - here.xs[0], there.ys[0] - here.ys[0])
        for here in first
        for there in second
        if _form(here) == _form(there)
    )
    most = max(shifts.values(), default=0)
    return min((shift for shift, n in shifts.items() if n == most), default=None)


def _form(region: Region) -> tuple[object, ...]:
    xs = tuple(x - region.xs[0] for x in region.xs)
    ys = tuple(y - region.ys[0] for y in region.ys)
    return region.shape, xs, ys, region.rx, region.ry, region.theta_rad


def _shift_note(tables: Tables) -> Note:
    shifts: dict[str, Shift] = {}
    for le, rc in pairs(tables.annotations):
        if le.name in tables.contours and rc.name in tables.contours:
            shift = copied_shift(tables.contours[le.name].regions, tables.contours[rc.name].regions)
            if shift is not None:
                shifts[f"{le.breast}_{le.view}"] = shift
    shifted = [name for name, (dx, dy) in shifts.items() if abs(dx) + abs(dy) > ALIGNED_PX]
    text = (
        f"of {len(shifts)} low-energy / recombined pairs with the same contour on both, "
        f"{len(shifts) - len(shifted)} are aligned within {ALIGNED_PX} px and {len(shifted)} are shifted: "
        "a mask belongs to the image it was drawn on"
    )
    return Note("contour.shifted", text, len(shifted), tuple(shifted))


def _style_note(tables: Tables) -> Note:
    drawn = [a for a in tables.annotations if a.finding != "normal" and a.name in tables.contours]
    malignant = np.array([a.finding == "malignant" for a in drawn], dtype=bool)
    if malignant.all() or not malignant.any():
        return Note("contour.style", "", 0)
    auc = float(roc_auc_score(malignant, [_most_vertices(tables.contours[a.name].regions) for a in drawn]))
    text = (
        f"WARNING: the number of vertices of an image's contours alone separates malignant from benign images with an "
        f"AUC of {auc:.3f}: the way a lesion was drawn gives its label away, and shape features carry it"
    )
    return Note("contour.style", text, len(drawn), tuple(a.name for a in drawn))


def _most_vertices(regions: tuple[Region, ...]) -> int:
    """Vertices of the region that has most; an ellipse, a circle and a point have none."""
    return max(len(region.xs) if region.shape in ("polygon", "polyline") else 0 for region in regions)

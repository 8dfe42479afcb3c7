"""Columns of a manifest: what they are called, and what their cells may say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from ..features.case import Laterality
from ..features.errors import CaseError, CohortError
from ..features.settings import nearest
from .labels import canonical_label, plain_name

ROLES: dict[str, tuple[str, ...]] = {
    "patient_id": ("patient_id", "patient", "patientid", "pid", "subject_id", "subject", "id"),
    "case_id": ("case_id", "caseid", "case"),
    "lesion_id": ("lesion_id", "lesion", "lesionid"),
    "laterality": ("laterality", "side", "image_laterality", "breast_side", "leftright"),
    "view": ("view", "view_position", "viewposition", "projection"),
    "image_type": ("image_type", "imagetype", "type"),
    "image_path": ("image_path", "image", "image_file", "imagepath", "img", "img_path"),
    "mask_path": ("mask_path", "mask", "mask_file", "maskpath", "segmentation", "seg_path"),
    "mask_label": ("mask_label", "masklabel"),
    "image_sha256": ("image_sha256",),
    "mask_sha256": ("mask_sha256",),
}
"""What each role's column may be called, spelt as :func:`~cemrad.pipeline.labels.plain_name` gives it."""

CLINICAL: dict[str, tuple[str, ...]] = {
    "age": ("age", "patient_age", "age_years"),
    "density": ("density", "breast_density", "breast_density_acr", "acr"),
}
"""Clinical columns that are taken without being named."""

PERSON: dict[str, tuple[str, ...]] = {
    "birth year": ("birth_year", "year_of_birth", "birthyear", "yob"),
    "birth date": ("birth_date", "date_of_birth", "birthdate", "dob", "patient_birth_date"),
    "sex": ("sex", "gender", "patient_sex"),
}
"""What cannot differ between two rows of one person."""

OLDEST = 120

VIEWS = ("CC", "MLO", "ML", "LM", "LMO", "XCC", "XCCL", "XCCM", "FB", "SIO", "ISO", "CV", "AT", "RL", "RM")
"""Views as in DICOM's View Position, and the usual additional ones."""

IMAGE_TYPES: dict[str, tuple[str, ...]] = {
    "LE": ("le", "dm", "low_energy", "lowenergy", "low", "ffdm", "low_energy_image"),
    "RC": (
        "rc", "cm", "cesm", "cem", "des", "recombined", "subtracted", "subtraction", "recombined_image",
        "dual_energy_subtracted", "dual_energy",
    ),
}  # fmt: skip
"""What each image type may be called."""


@dataclass(frozen=True)
class ManifestColumns:
    """Which column of a manifest is what.

    Parameters
    ----------
    roles : mapping of str to str
        Role to column, for the roles that have one.
    labels : mapping of str to str
        Our name of a label to its column.
    clinical : mapping of str to str
        Name of a clinical value to its column.
    info : tuple of str
        All other columns.
    """

    roles: Mapping[str, str]
    labels: Mapping[str, str]
    clinical: Mapping[str, str]
    info: tuple[str, ...]


def find_columns(
    columns: Sequence[str], labels: Sequence[str], clinical: Sequence[str] | None, *, where: str
) -> ManifestColumns:
    """Give every column its place.

    Parameters
    ----------
    columns : sequence of str
        Names in the file.
    labels, clinical : sequence of str
        Columns that the user named as such; None for the clinical ones that are known.
    where : str
        The file, for messages.

    Raises
    ------
    CohortError
        If a needed or named column is absent (with the nearest there is) or two mean one label. A table may do
        without masks, but not have a column that is nearly one of them.
    """
    taken: dict[str, str] = {}
    for name in labels:
        own = canonical_label(name) or name
        if own in taken:
            raise CohortError(f"{where}: columns {taken[own]!r} and {name!r} both state {own}; name one of them")
        taken[own] = _named(name, columns, where)
    chosen = dict(zip(clinical, (_named(name, columns, where) for name in clinical), strict=True)) if clinical else {}
    free = [name for name in columns if name not in {*taken.values(), *chosen.values()}]
    roles = _match(ROLES, free)
    if "image_type" not in roles and "label" in map(plain_name, free):
        roles |= _match({"mask_label": ("label",)}, free)  # pyradiomics' own spelling: Image, Mask, Label
    _require(roles, ("image_path", "mask_path") if _states_masks(roles, columns) else ("image_path",), columns, where)
    free = [name for name in free if name not in roles.values()]
    if clinical is None:
        chosen = known_clinical(free)
    settled = set(taken)
    for name in free:
        known = canonical_label(name)
        if known is None or known in settled:
            continue
        if known in taken:
            raise CohortError(f"{where}: columns {taken[known]!r} and {name!r} both state {known}; name one as a label")
        taken[known] = name
    used = {*taken.values(), *chosen.values()}
    return ManifestColumns(roles, taken, chosen, tuple(name for name in free if name not in used))


def known_clinical(columns: Sequence[str]) -> dict[str, str]:
    """Clinical values whose columns need not be named, each with its column.

    Examples
    --------
    >>> known_clinical(["Patient Age", "weight"])
    {'age': 'Patient Age'}
    """
    return _match(CLINICAL, columns)


def person_columns(columns: Sequence[str]) -> dict[str, str]:
    """Facts that are the same for all of a person's rows, each with its column.

    Examples
    --------
    >>> person_columns(["Sex", "age"])
    {'sex': 'Sex'}
    """
    return _match(PERSON, columns)


def implausible(cells: Mapping[str, str], today: date) -> list[str]:
    """What no row of a living person says: an age over 120 or below 0, a date or birth year still to come.

    Dates are those of columns with ``date`` in their name, and only ISO 8601 (2024-01-31) is read: no order of
    day and month is guessed. What the cells hold is not repeated: it may be a birth date.

    Examples
    --------
    >>> implausible({"age": "140", "exam_date": "2031-01-01"}, date(2026, 1, 1))
    ['age is not between 0 and 120', 'exam_date is in the future']
    """
    ages, years = _match({"age": CLINICAL["age"]}, list(cells)), _match({"year": PERSON["birth year"]}, list(cells))
    found = []
    for column, text in cells.items():
        number = _number(text)
        if column in ages.values() and number is not None and not 0 <= number <= OLDEST:
            found.append(f"{column} is not between 0 and {OLDEST}")
        if column in years.values() and number is not None and number > today.year or _is_later(column, text, today):
            found.append(f"{column} is in the future")
    return found


def unreadable_number(name: str, text: str) -> str | None:
    """What keeps a cell from being a number that it seems to be; None where nothing does.

    Such a cell is never guessed at: ``1,234`` may be a thousand, and 720 months are no age of 720.

    Examples
    --------
    >>> unreadable_number("age", "61,5"), unreadable_number("age", "061Y")
    ('has a comma; write 61.5, and nothing between thousands', 'has a unit; write years as a number alone')
    >>> unreadable_number("age", "61.5"), unreadable_number("age", "50-59")
    (None, None)
    """
    plain = text.strip().lower()
    if re.fullmatch(r"[+-]?\d+(,\d+)+", plain):
        return "has a comma; write 61.5, and nothing between thousands"
    if name == "age" and re.fullmatch(r"\d+([.,]\d+)?\s*(y|m|w|d|years?|yrs?|months?|weeks?|days?)\.?", plain):
        return "has a unit; write years as a number alone"
    return None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _is_later(column: str, text: str, today: date) -> bool:
    if "date" not in plain_name(column):
        return False
    try:
        return date.fromisoformat(text.strip()[:10]) > today
    except ValueError:
        return False


def _match(wanted: Mapping[str, tuple[str, ...]], columns: Sequence[str]) -> dict[str, str]:
    by_plain = {plain_name(name): name for name in reversed(columns)}
    found = {}
    for role, aliases in wanted.items():
        alias = next((alias for alias in aliases if alias in by_plain), None)
        if alias is not None:
            found[role] = by_plain[alias]
    return found


def _named(name: str, columns: Sequence[str], where: str) -> str:
    if name not in columns:
        guess = nearest(name, columns)
        advice = f"did you mean {guess!r}?" if guess else f"there are: {', '.join(columns)}"
        raise CohortError(f"{where}: no column {name!r}; {advice}")
    return name


def _states_masks(roles: Mapping[str, str], columns: Sequence[str]) -> bool:
    """Whether the table means to name masks; one without any column of that kind leaves them to a drawer."""
    others = [name for name in columns if name not in roles.values()]
    return any(role.startswith("mask_") for role in roles) or nearest("mask_path", others) is not None


def _require(roles: Mapping[str, str], needed: Sequence[str], columns: Sequence[str], where: str) -> None:
    lines = []
    for role in needed:
        if role not in roles:
            guess = nearest(role, [name for name in columns if name not in roles.values()])
            advice = f"the nearest is {guess!r}" if guess else f"there are: {', '.join(columns)}"
            lines.append(f"{where}: no column {role!r} (also read: {', '.join(ROLES[role][1:])}); {advice}")
    if lines:
        raise CohortError("\n".join(lines))


def parse_laterality(text: str) -> Laterality:
    """``L``, ``R``, or empty where nothing is stated; raises CaseError ``laterality.unknown``.

    Examples
    --------
    >>> parse_laterality("Left")
    'L'
    """
    sides: dict[str, Laterality] = {"l": "L", "left": "L", "r": "R", "right": "R", "": ""}
    plain = text.strip().lower()
    if plain not in sides:
        raise CaseError("laterality.unknown", f"laterality {text!r} is not known; write L or R")
    return sides[plain]


def parse_view(text: str) -> str:
    """A view with its number where it is a second exposure; raises CaseError ``view.unknown``.

    Examples
    --------
    >>> parse_view("mlo"), parse_view("MLO_2"), parse_view("")
    ('MLO', 'MLO2', '')
    """
    plain = text.strip().upper()
    match = re.fullmatch(rf"({'|'.join(VIEWS)})[_ ]?(\d{{0,2}})", plain)
    if plain and not match:
        raise CaseError("view.unknown", f"view {text!r} is not known; write one of {', '.join(VIEWS)}")
    return match[1] + match[2] if match else ""


def parse_image_type(text: str) -> str:
    """``LE`` or ``RC``; raises CaseError ``image_type.unknown``.

    Examples
    --------
    >>> parse_image_type("DM"), parse_image_type("Subtracted")
    ('LE', 'RC')
    """
    plain = plain_name(text)
    for image_type, aliases in IMAGE_TYPES.items():
        if plain in aliases:
            return image_type
    raise CaseError(
        "image_type.unknown",
        f"image type {text!r} is not known; write LE (low energy, DM) or RC (recombined, CM)",
    )


def names_images(columns: Sequence[str]) -> bool:
    """Whether a table with these columns is a manifest: it has one of images."""
    return "image_path" in _match(ROLES, columns)

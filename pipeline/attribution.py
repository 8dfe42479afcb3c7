"""The attribution stage: SHAP values of the shown cases back on their pixels, and local maps of their radiomics."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..features.case import PictureKey
from ..features.crop import Crop, lesion_crop
from ..features.errors import StudyError, WeightsError
from ..features.reading import Reading, read_case
from ..features.reread import is_out_of_memory
from ..features.spread import grad_cam, spread, upsample
from ..features.table import FeatureTable
from ..models.account import KEY
from ..models.attribution import LOCAL_COLUMNS, MAP_COLUMNS, REST_COLUMNS, StandIn, moves, stand_in, told
from ..models.result import Result
from ..reports.facts import ReportSettings
from .cohort import Cohort
from .extract import FeatureSettings
from .gallery import reduced
from .local_maps import Found, LocalMaps, top_columns
from .progress import LOG
from .work import Recipe, made

if TYPE_CHECKING:
    from ..features.activation import Activation
    from ..features.families.deep import Family

MARGIN = 0.5
"""Of frames that no network looked at."""


MOST_LOCAL = 40
"""Cases with local maps at most: a map takes up to two seconds."""


@dataclass(frozen=True, eq=False)
class Attributed:
    """What the stage adds to a result: ``attribution``, ``attribution_rest`` and ``local_maps``, and frames."""

    tables: dict[str, pd.DataFrame]
    frames: dict[str, dict[str, Crop]]


def attribute(
    cohort: Cohort,
    table: FeatureTable,
    result: Result,
    features: FeatureSettings,
    shown: Sequence[str],
    settings: ReportSettings,
) -> Attributed:
    """Maps of these cases by the model that the report explains of each endpoint.

    What cannot be spread is in ``attribution_rest`` with the reason: maps and rest add up to the deep block's SHAP
    values. A picture, a network or a cohort without pixels never raises.

    Parameters
    ----------
    cohort : Cohort
    table : FeatureTable
        What the result was made from.
    result : Result
    features : FeatureSettings
        How the table was made.
    shown : sequence of str
        Case ids.
    settings : ReportSettings
        Whose arm is told; ``maps`` and ``local_maps`` turn parts off.
    """
    if not settings.maps:
        return Attributed({}, {})
    try:
        models = told(result, settings.arm, shown)
        deep = moves(result, models, "deep")
        stage = _Stage(table, result, features, deep[deep["shap"] != 0])
        reason, family = _network(cohort, features) if len(stage.deep) else ("", None)
        if family is None:
            stage.rest(reason)
        top = dict(islice(top_columns(moves(result, models, "radiomics"), settings.local_maps).items(), MOST_LOCAL))
        if any(top.values()) and cohort.table is None and "radiomics" in features.families:
            stage.local = LocalMaps(features)
        else:
            top = {}
        wanted = stage.wanted() if family is not None else {}
        cases = [case for case in cohort.cases if wanted.get(case.case_id) or top.get(case.case_id)]
        stage.run(family, (read_case(case, features.mask_rules) for case in cases), wanted, top)
        return stage.done()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        LOG.warning("maps: there was not enough memory for them; the evaluation stands without")
        return Attributed({}, {})


def _network(cohort: Cohort, features: FeatureSettings) -> tuple[str, Family | None]:
    """The deep family of the extraction, or the reason why nothing can be spread."""
    if cohort.table is not None or "deep" not in features.families:
        return "there are no pixels or no network: the features came as a table, or without deep ones", None
    from ..features.activation import require_mean  # torch takes seconds to import

    try:
        family: Any = made(Recipe("deep", json.dumps(features.families["deep"]), features.mask_rules))
        require_mean(family)
    except WeightsError:
        return "the network's weights cannot be had here", None
    except StudyError as error:
        return str(error), None
    return "", family


@dataclass(frozen=True, eq=False)
class _Frame:
    """The square of a picture on which its maps lie: as it is shown, its place and its side in the picture."""

    crop: Crop
    side_px: int

    @classmethod
    def of(cls, crop: Crop) -> _Frame:
        return cls(reduced(crop), crop.side_px)


@dataclass(eq=False)
class _Stage:
    """Rows and frames on their way."""

    table: FeatureTable
    result: Result
    features: FeatureSettings
    deep: pd.DataFrame
    local: LocalMaps | None = None
    maps: list[dict[str, Any]] = field(default_factory=list)
    left: list[pd.DataFrame] = field(default_factory=list)
    found: dict[str, dict[str, Found]] = field(default_factory=dict)
    frames: dict[str, dict[str, _Frame]] = field(default_factory=dict)
    stand_ins: dict[tuple[Any, ...], StandIn] = field(default_factory=dict)

    def wanted(self) -> dict[str, list[str]]:
        """Units of the network that have SHAP values, by case."""
        pairs = self.deep[["case_id", "picture"]].drop_duplicates()
        return {str(case_id): list(own["picture"]) for case_id, own in pairs.groupby("case_id", sort=False)}

    def run(
        self,
        family: Family | None,
        readings: Iterator[Reading],
        wanted: Mapping[str, Sequence[str]],
        top: Mapping[str, Sequence[str]],
    ) -> None:
        """Every reading once: its local maps, then what the network holds of it."""
        passed = (self._passed(reading, top.get(reading.case_id, ())) for reading in readings)
        if family is None:
            for _ in passed:
                pass
            return
        from ..features.activation import activations

        of_unit = {key: own for key, own in self.deep.groupby(["case_id", "picture"], sort=False)}
        for one in activations(family, passed, wanted):
            self._spread(family, one, of_unit.pop((one.case_id, one.picture)))
        for own in of_unit.values():
            self._leave(own, "the picture is not there or cannot be used")

    def rest(self, reason: str) -> None:
        """All SHAP values of deep features are left over."""
        self._leave(self.deep, reason)

    def _passed(self, reading: Reading, columns: Sequence[str]) -> Reading:
        if self.local is not None and columns:
            self.found[reading.case_id] = self.local.of_case(reading, columns)
            pictures = {column.split(":")[1] for column in columns}
            own = {key: pair for key, pair in reading.usable.items() if key.name in pictures}
            for key, (image, mask) in own.items():
                self._frame(reading.case_id, key, lesion_crop(image, mask, self._margin()))
        return reading

    def _margin(self) -> float:
        return float(self.features.families.get("deep", {}).get("margin", MARGIN))

    def _frame(self, case_id: str, key: PictureKey, crop: Crop) -> None:
        """The widest square of a picture becomes its frame; all have one centre."""
        known = self.frames.setdefault(case_id, {})
        if key.name not in known or known[key.name].side_px < crop.side_px:
            known[key.name] = _Frame.of(crop)

    def _spread(self, family: Family, one: Activation, own: pd.DataFrame) -> None:
        from ..features.activation import agrees

        columns = [f"deep:{one.picture}:{name}" for name in family.features]
        if not agrees(family, one.values, self.table.values.loc[one.case_id].reindex(columns).to_numpy(np.float64)):
            self._leave(own, "the network gives other features now than the table holds: picture or weights changed")
            return
        for key, crop in one.crops.items():
            self._frame(one.case_id, key, crop)
        for _, part in own.groupby(KEY, sort=False):
            self.maps.append(self._row(one, part, columns))

    def _row(self, one: Activation, part: pd.DataFrame, columns: list[str]) -> dict[str, Any]:
        moved = dict(zip(part["feature"], part["shap"], strict=True))
        shap = np.array([moved.get(name, 0.0) for name in columns])
        cells = spread(one.values[shap != 0], shap[shap != 0])
        linear = self._stand_in(part.iloc[0])
        weights = np.array([linear.weights.get(name, 0.0) for name in columns])
        return {
            **part.iloc[0][[*KEY, "case_id", "picture"]],
            "shap": float(part["shap"].sum()),
            "n_features": len(part),
            "rows": cells.shape[0],
            "columns": cells.shape[1],
            "map": cells.ravel().tolist(),
            "side_px": one.side_px,
            "inside": inside(cells, one.mask),
            "area": float(one.mask.mean()),
            "cam": grad_cam(one.values, weights).ravel().tolist(),
            "r2": linear.r2,
        }

    def _stand_in(self, model: pd.Series[Any]) -> StandIn:
        key = tuple(model[KEY])
        if key not in self.stand_ins:
            harmonised = self.result.provenance.get("evaluation", {}).get("harmonise")
            # Weights per unit of a harmonised value say nothing of the network's own activations.
            self.stand_ins[key] = StandIn({}, np.nan) if harmonised else stand_in(self.result, model, "deep")
        return self.stand_ins[key]

    def _leave(self, own: pd.DataFrame, reason: str) -> None:
        if len(own):
            sums = own.groupby([*KEY, "case_id", "picture"], sort=False)["shap"].agg(["sum", "size"]).reset_index()
            self.left.append(sums.rename(columns={"sum": "shap", "size": "n_features"}).assign(reason=reason))

    def done(self) -> Attributed:
        """The tables, in the order of their keys, and the frames."""
        sides = {case_id: {name: one.side_px for name, one in own.items()} for case_id, own in self.frames.items()}
        rows = [row | {"frame_px": _frame_px(sides[row["case_id"]], row["picture"])} for row in self.maps]
        order = [*KEY, "case_id", "picture"]
        left = pd.concat(self.left, ignore_index=True) if self.left else pd.DataFrame(columns=REST_COLUMNS)
        local = [
            _local_row(case_id, column, one, self.frames.get(case_id, {}))
            for case_id, found in self.found.items()
            for column, one in found.items()
        ]
        return Attributed(
            {
                "attribution": pd.DataFrame(rows, columns=MAP_COLUMNS).sort_values(order, ignore_index=True),
                "attribution_rest": left[REST_COLUMNS].sort_values(order, ignore_index=True),
                "local_maps": pd.DataFrame(local, columns=LOCAL_COLUMNS),
            },
            {case_id: {name: one.crop for name, one in own.items()} for case_id, own in self.frames.items()},
        )


def inside(cells: NDArray[np.float64], mask: NDArray[np.bool_]) -> float:
    """Share of a map's absolute values that lies in a region, pixel by pixel; NaN for a map of zeros.

    Parameters
    ----------
    cells : ndarray, shape (rows, columns)
    mask : ndarray of bool
        The region in the square that the cells cover.

    Examples
    --------
    >>> mask = np.zeros((8, 8), bool); mask[:, :2] = True
    >>> round(inside(np.array([[-3.0, 1.0]]), mask), 3)
    0.462
    """
    size = np.abs(upsample(cells, len(mask)))
    return float(size[mask].sum() / size.sum()) if size.any() else float("nan")


def _frame_px(sides: Mapping[str, int], picture: str) -> int:
    """Side of the frame of a unit: of a composite that of its two pictures, which are cut alike."""
    if picture in sides:
        return sides[picture]
    key = PictureKey.parse(picture)
    return sides[PictureKey("LE", key.view).name]


def _local_row(case_id: str, column: str, one: Found, frames: Mapping[str, _Frame]) -> dict[str, Any]:
    picture = column.split(":")[1]
    rows, columns = one.values.shape
    row: dict[str, Any] = dict.fromkeys(LOCAL_COLUMNS, 0) | {"case_id": case_id, "feature": column, "picture": picture}
    row |= {"reason": one.reason, "rows": rows, "columns": columns, "map": one.values.ravel().tolist()}
    if picture in frames:
        frame = frames[picture]
        row |= {"top_px": one.top - frame.crop.top, "left_px": one.left - frame.crop.left, "frame_px": frame.side_px}
    return row | {"height_px": rows * one.cell_px, "width_px": columns * one.cell_px}

"""Errors: the worst false positives and false negatives of each endpoint, side by side."""

from typing import Any

from markupsafe import Markup

from ...models.result import Result
from ..characteristics import variables
from ..crops import show
from ..errors import EndpointErrors, gather
from ..facts import Facts
from ..figures import probability_track
from ..picture_facts import picture_key
from ..template import fill
from ..words import picture_words

TITLE = "Errors"
ORDER = 48
SIDE_PX = 96


def render(facts: Facts, result: Result) -> Markup:
    """A gallery per endpoint: one picture of each case, its probability, and what the errors share."""
    known, _ = variables(result)
    found = [gather(result, endpoint.key, facts.settings.arm, known) for endpoint in facts.endpoints]
    shown = [item for item in found if item is not None]
    tiles = {case_id: _tile(facts, result, case_id) for item in shown for case_id in _ids(item)}
    return fill("errors.html.j2", facts=facts, shown=shown, tiles=tiles, probability_track=probability_track)


def _ids(item: EndpointErrors) -> list[str]:
    return [mistake.case_id for kind in item.kinds for mistake in kind.worst]


def _tile(facts: Facts, result: Result, case_id: str) -> dict[str, Any]:
    crops = result.crops.get(case_id, {})
    name = next((name for name in ("RC_CC", "RC_MLO") if name in crops), next(iter(crops), ""))
    side = str(result.cases["laterality"].get(case_id, ""))
    key = picture_key(name)
    return {
        "place": facts.places.get(case_id),
        "shown": show(crops[name], SIDE_PX) if name else None,
        "words": picture_words(name),
        "mark": f"{side} {key.view}".strip(),
        "kind": key.image_type,
    }

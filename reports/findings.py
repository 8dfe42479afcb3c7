"""Findings: what an endpoint's estimates allow to be said in words, and no more."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .numbers import counted, fixed, interval
from .words import arm_title

if TYPE_CHECKING:  # The records hold the sentences made here.
    from .endpoints import Difference, Estimate, LevelFacts


def best_arm(level: LevelFacts, arms: tuple[str, ...] = ()) -> tuple[str, Estimate] | None:
    """The arm with the highest AUC, among `arms` where they are named; None where no AUC could be estimated."""
    aucs = [
        (arm, estimates["auc"])
        for arm, estimates in level.arms.items()
        if "auc" in estimates and estimates["auc"].estimable and (not arms or arm in arms)
    ]
    return max(aucs, key=lambda item: item[1].estimate, default=None)


def discriminates(level: LevelFacts) -> bool:
    """Whether any arm's AUC interval lies above chance."""
    return bool(_above(level))


def _above(level: LevelFacts) -> list[str]:
    return [arm for arm, known in level.arms.items() if "auc" in known and known["auc"].low > level.chance_of(arm)]


def summarise(stated: Mapping[str, Any], level: LevelFacts | None) -> Iterator[str]:
    """An endpoint's finding in sentences, with nothing claimed that its intervals do not carry.

    Parameters
    ----------
    stated : mapping
        The endpoint as the result states it.
    level : LevelFacts or None
        Its main level; None where nothing was evaluated.
    """
    yield _who(stated, level)
    best = best_arm(level) if level else None
    if level is None or best is None:
        yield "No arm's AUC could be estimated; the table of arms says why."
        return
    arm, auc = best
    among = f"best of {len(level.arms)} arms, not corrected for that choice" if len(level.arms) > 1 else "the only arm"
    found = f"{arm_title(arm)} has the highest AUC: {fixed(auc.estimate)} {interval(auc.low, auc.high)} ({among})."
    above = _above(level)
    if not above:
        yield f"No evidence of discrimination: {_why_none(level)}. {found}"
    elif arm in above:
        yield found
    else:
        names = " and ".join(arm_title(name).lower() for name in above)
        yield f"{found} Its interval does not lie above chance; that of {names} does."
    yield from _fusion(level)


def _who(stated: Mapping[str, Any], level: LevelFacts | None) -> str:
    cases, patients = counted(int(stated["n"]), "case"), counted(int(stated["n_patients"]), "patient")
    n_positive = level.n_positive if level and level.n else int(stated["n_positive"])
    ending = f"{n_positive:,} of them {stated.get('positive', 'positive')}."
    if level is None or not level.n or level.level == "lesion":
        return f"{cases} of {patients}, {ending}"
    if level.level == "patient":
        return f"{counted(level.n, 'patient')} ({cases}), {ending}"
    return f"{counted(level.n, level.level)} ({cases}) of {patients}, {ending}"


def _why_none(level: LevelFacts) -> str:
    aucs = {arm: known["auc"] for arm, known in level.arms.items() if "auc" in known and known["auc"].estimable}
    known = {arm: auc for arm, auc in aucs.items() if math.isfinite(auc.low) and math.isfinite(auc.high)}
    if not known:
        return "the AUC has no interval"
    values = sorted({fixed(level.chance_of(arm)) for arm in known})
    chance = "0.5" if values == ["0.50"] else f"chance ({' to '.join(dict.fromkeys((values[0], values[-1])))})"
    if all(auc.high < level.chance_of(arm) for arm, auc in known.items()):
        return f"every arm's interval lies below {chance}"
    return f"no arm's interval lies above {chance}"


def _fusion(level: LevelFacts) -> Iterator[str]:
    block = best_arm(level, ("radiomics", "deep"))
    if "fused" not in level.arms or block is None:
        return
    name = arm_title(block[0]).lower()
    found = _difference(level, "fused", block[0])
    if found is None or not found.estimable:
        yield f"Whether fusion beats its best block ({name}) could not be estimated."
        return
    figures = f"difference in AUC {fixed(found.difference, signed=True)} {interval(found.low, found.high, signed=True)}"
    if found.low > 0:
        yield f"Fusion beats its best block, {name}: {figures}."
    elif found.high < 0:
        yield f"Fusion does not beat its best block, {name}; it is worse: {figures}."
    else:
        yield f"Fusion is not shown to beat its best block, {name}: {figures}."


def _difference(level: LevelFacts, arm: str, reference: str) -> Difference | None:
    for item in level.differences:
        if item.metric == "auc" and (item.arm, item.reference) == (arm, reference):
            return item
        if item.metric == "auc" and (item.arm, item.reference) == (reference, arm):
            return replace(
                item, arm=arm, reference=reference, difference=-item.difference, low=-item.high, high=-item.low
            )
    return None

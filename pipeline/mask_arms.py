"""Arms of masks: the sets of masks that a study holds side by side, from its key ``mask_arms``."""

from __future__ import annotations

from ..features.errors import StudyError
from ..models.mask_comparison import MANUAL
from ..models.result import Result
from .cohort import Cohort
from .mask_candidates import folder_arm
from .mask_experiment import MaskArm, mask_experiment, require_own
from .mask_study import DRAWN, MaskChoice, draw_masks
from .study import Study, read_cohort


def compare_masks(study: Study) -> Result:
    """Draw every arm's masks, each into a folder of its own, and compare them with the manual ones.

    Parameters
    ----------
    study : Study
        ``mask_arms`` names the arms; ``manual`` is what the cohort states, and need not be named.

    Returns
    -------
    Result
        As :func:`~cemrad.pipeline.mask_experiment.mask_experiment` gives and writes it.

    Raises
    ------
    StudyError
        If there is no other arm, or as drawing and comparing.
    """
    others = {name: choice for name, choice in study.mask_arms.items() if name != MANUAL}
    if not others or None in others.values():
        raise StudyError(
            "mask_arms: name at least one set of masks beside the manual ones, for example "
            "mask_arms: {classic: {source: enhancement}}"
        )
    require_own(study.output)  # before masks are drawn into it
    cohort = read_cohort(study)
    arms: dict[str, MaskArm] = {MANUAL: MaskArm(cohort)}
    for name, choice in others.items():
        assert choice is not None
        arms[name] = _arm(cohort, name, choice, study)
    return mask_experiment(study, arms, study.output, jobs=study.jobs)


def _arm(cohort: Cohort, name: str, choice: MaskChoice, study: Study) -> MaskArm:
    """All pictures with this arm's masks, whatever the choice says of missing ones."""
    if (lay := choice.lay()) is not None:
        return MaskArm(lay(cohort))
    every = choice.model_copy(update={"pictures": "all"})
    return folder_arm(cohort, draw_masks(cohort, every, study.output / DRAWN, study.jobs, name=name))

"""What a study says of the training of a segmenter: its key ``mask_training``."""

from __future__ import annotations

from pydantic import Field

from ..features.settings import Settings
from ..models.rejection import RejectionSettings
from ..models.segmenter import SegmenterSettings
from ..models.segmenter_training import TrainingSettings


class MaskTrainingSettings(Settings):
    """What a segmenter learns from, and how."""

    image_types: tuple[str, ...] = Field(default=("LE", "RC", "IMG"), min_length=1, description="which pictures teach")
    folds: int = Field(default=5, ge=2, le=20, description="networks; nobody's mask is drawn by one that has seen her")
    segmenter: SegmenterSettings = SegmenterSettings()
    training: TrainingSettings = TrainingSettings()
    rejection: RejectionSettings = RejectionSettings()

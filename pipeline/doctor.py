"""The doctor: what this machine has, and whether the parts fit together."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
from typing import Any

from ..features.families import SHELF as FAMILIES

PACKAGES = (
    "cemrad", "numpy", "pandas", "pillow", "pydicom", "pyradiomics-bhklab", "scikit-learn", "scipy", "shap",
    "simpleitk", "timm", "torch", "torchvision", "xgboost",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Versions of Python and of every library whose version can change a number."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def examine() -> dict[str, Any]:
    """Facts about this machine: versions, processors, devices, where weights are looked for."""
    import torch  # seconds to import, and most commands ask for versions alone

    cuda = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "versions": versions(),
        "platform": platform.platform(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "devices": cuda or ["cpu"],
        "downloads": "none, unless a study says download: true beside weights: imagenet",
        "problems": problems(),
    }


def problems() -> list[str]:
    """What would make a run fail here; empty when all is well."""
    found = []
    for what, load in (
        ("torchvision", lambda: importlib.import_module("torchvision")),
        ("feature family radiomics", lambda: FAMILIES.take("radiomics")),
        ("pyradiomics", lambda: importlib.import_module("..features.reference", __package__)),
        ("feature family deep", lambda: FAMILIES.take("deep")),
    ):
        try:
            load()
        except (ImportError, RuntimeError) as error:  # torchvision's operators may not match torch
            found.append(f"{what} cannot be imported: {error}")
    return found

"""Images of a test that Dask's processes can import: slow ones, and ones that take their process with them."""

import os
import signal
import time
from dataclasses import dataclass

import numpy as np
from cemrad.features.errors import ImageError
from cemrad.features.image import ArrayImage, Image


@dataclass(frozen=True)
class Deadly:
    """An image whose decoder takes its process with it, or that process' parent, but not the test's own."""

    spared: int
    parent: bool = False

    def read(self) -> Image:
        if os.getpid() == self.spared:
            raise ImageError("image.deadly", "read in the test's own process")
        os.kill(os.getppid() if self.parent else os.getpid(), signal.SIGKILL)
        time.sleep(5)
        raise ImageError("image.deadly", "outlived its parent")


@dataclass(frozen=True)
class Slow:
    """An image that takes a while."""

    seed: int
    seconds: float

    def read(self) -> Image:
        time.sleep(self.seconds)
        return ArrayImage(np.random.default_rng(self.seed).integers(0, 4096, (64, 64)).astype(np.uint16)).read()

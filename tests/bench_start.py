"""One picture measured by the native engine, and how many values it has: timed from outside by bench_engines."""

import sys
from pathlib import Path

import numpy as np
from bench_timing import disc, say
from cemrad.features.native.engine import NativeEngine
from cemrad.features.parameters import read_parameters

SHAPE = (2048, 1664)

if __name__ == "__main__":
    noise = np.random.default_rng(0).integers(0, 4096, SHAPE, dtype=np.uint16)
    values, _ = NativeEngine(read_parameters(Path(sys.argv[1])), 1024).measure(noise, disc(SHAPE, 60), (1.0, 1.0))
    say(str(len(values)))

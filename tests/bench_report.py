"""What a report of 50, 300 and 5,000 cases costs: seconds, CPU seconds, memory and bytes, each in its own process.

    python tests/bench_report.py [cases ...]

A synthetic result: two endpoints, five arms, four crops of 224 px with grain and two waterfalls per case; every case
has a part of its own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from cemrad.models.result import Result
from cemrad.reports.page import ReportSettings, write_report

if __package__:
    from .report_fixture import N_CASES, make_crops, make_result
else:
    from report_fixture import N_CASES, make_crops, make_result  # type: ignore[no-redef]

SIZES = (50, 300, 5000)
N_DRAWN = 20
"""Cases with crops of their own; the others show those of one of them."""


def many_cases(n: int, side_px: int = 224) -> Result:
    """The synthetic result again and again, under other ids, until there are `n` cases."""
    one = make_result(phantom=True)
    n_copies = -(-n // N_CASES)
    ids = [f"{case_id}-{copy:03d}" for copy in range(n_copies) for case_id in one.cases.index][:n]
    kept = set(ids)

    def again(frame: pd.DataFrame) -> pd.DataFrame:
        parts = []
        for copy in range(n_copies):
            changed = {"case_id": frame["case_id"] + f"-{copy:03d}"}
            if "patient_id" in frame:
                changed["patient_id"] = frame["patient_id"] + f"-{copy:03d}"
            parts.append(frame.assign(**changed))
        whole = pd.concat(parts, ignore_index=True)
        return whole[whole["case_id"].isin(kept)].reset_index(drop=True)

    def indexed(frame: pd.DataFrame) -> pd.DataFrame:
        return again(frame.rename_axis("case_id").reset_index()).set_index("case_id").rename_axis(None)

    rng = np.random.default_rng(0)
    drawn = [make_crops(rng, side_px) for _ in range(N_DRAWN)]
    frames = {
        name: again(getattr(one, name)) for name in ("predictions", "shap", "shap_base", "failures", "exclusions")
    }
    frames |= {name: indexed(getattr(one, name)) for name in ("cases", "clinical")}
    crops = {case_id: drawn[at % N_DRAWN] for at, case_id in enumerate(ids)}
    return make_result(phantom=True, **frames, crops=crops)


def measure(n: int, folder: Path) -> dict[str, float]:
    """One report: its cost and its size."""
    result = many_cases(n)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, busy = time.perf_counter(), time.process_time()
    path = write_report(result, folder / "report.html", ReportSettings(max_cases="all"))
    pages = list((folder / "report_cases").glob("*.html"))
    return {
        "cases": n,
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(time.process_time() - busy, 1),
        "mb_before": round(before / 1024),
        "mb_peak": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "report_html_mb": round(path.stat().st_size / 1e6, 1),
        "pages": len(pages),
        "largest_page_mb": round(max((p.stat().st_size for p in pages), default=0) / 1e6, 1),
        "all_pages_mb": round(sum(p.stat().st_size for p in pages) / 1e6, 1),
        "report_json_mb": round(path.with_suffix(".json").stat().st_size / 1e6, 1),
        "tables_mb": round(sum(p.stat().st_size for p in (folder / "report_tables").iterdir()) / 1e6, 1),
    }


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        sys.stdout.write(json.dumps(measure(int(sys.argv[2]), Path(sys.argv[3]))))
        return
    for n in map(int, sys.argv[1:] or SIZES):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, __file__, "--one", str(n), folder], check=True, capture_output=True, text=True
            )
        sys.stdout.write(done.stdout + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

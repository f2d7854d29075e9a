"""What was copied to nodes, summed from the workers' records."""

from __future__ import annotations

import json
from pathlib import Path

from hpcurate.report.staging import Staged, staged, staging_records
from hpcurate.runs.folder import Run
from hpcurate.store.layout import Store


def test_records_of_a_run_are_summed_by_model_and_environment(tmp_path: Path) -> None:
    """Bytes of all copies, nodes once each, the slowest copy; fields of a later version are ignored."""
    run = Run(Store(str(tmp_path)), "r")
    copies = [("m", "n1", 3, 1.0), ("m", "n2", 4, 2.5), ("m", "n2", 5, 0.5), ("e", "n1", 1, 0.1)]
    for number, (what, node, size, seconds) in enumerate(copies):
        path = Path(run.path, "submissions", f"a-{number:04d}", f"brought-{node}-{number}.json")
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"what": what, "node": node, "copied_bytes": size, "seconds": seconds, "new": 1}))
    assert staged(staging_records(run)) == [
        Staged(what="m", copied_bytes=12, nodes=2, slowest_s=2.5),
        Staged(what="e", copied_bytes=1, nodes=1, slowest_s=0.1),
    ]


def test_a_run_that_copied_nothing(tmp_path: Path) -> None:
    """No line."""
    assert [] == staged(staging_records(Run(Store(str(tmp_path)), "r")))

"""Where the runs ran: versions and machines, as far as they can change a number or a time."""

from __future__ import annotations

import json

from mtl.grid.wording import plural
from mtl.report.data import ReportData
from mtl.report.document import Section, columns, table, text


def section(data: ReportData) -> Section | None:
    kinds: dict[str, int] = {}
    for name, arm in data.arms.items():
        for seed in data.design.seeds(arm.name):
            record = data.record(name, seed)
            if record is not None and record.environment.python:
                key = json.dumps(record.environment.model_dump(), sort_keys=True)
                kinds[key] = kinds.get(key, 0) + 1
    if not kinds:
        return None
    rows = []
    for key, count in kinds.items():
        machine = json.loads(key)
        packages = ", ".join(
            f"{name} {version}" for name, version in sorted(machine["packages"].items()) if version
        )
        device = machine["device"] + (f", CUDA {machine['cuda']}" if machine["cuda"] else "")
        processor = (
            f"{machine['processor'] or 'unknown processor'}, {machine['cores']} cores, "
            f"{plural(machine['threads'] or 0, 'thread')} a run"
        )
        rows.append(
            (
                text(plural(count, "run")),
                text(f"Python {machine['python']}, {packages}"),
                text(device),
                text(processor),
            )
        )
    return Section(
        title="Environment",
        key="environment",
        blocks=(
            table(
                "environment", columns("runs", "versions", "device", "machine", kinds="tttt"), rows
            ),
        ),
    )

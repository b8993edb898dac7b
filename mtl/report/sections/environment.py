"""Where the runs ran: versions and machines, as far as they can change a number or a time."""

from __future__ import annotations

import json

from mtl.report.document import Section, columns, table, text
from mtl.report.material import Material
from mtl.report.wording import plural


def section(material: Material) -> Section | None:
    kinds: dict[str, int] = {}
    for name, arm in material.arms.items():
        for seed in material.seeds[arm.name]:
            record = material.record(name, seed)
            if record is not None and record.environment.python:
                key = json.dumps(record.environment.model_dump(), sort_keys=True)
                kinds[key] = kinds.get(key, 0) + 1
    if not kinds:
        return None
    rows = []
    for key, count in kinds.items():
        found = json.loads(key)
        packages = ", ".join(
            f"{name} {version}" for name, version in sorted(found["packages"].items()) if version
        )
        device = found["device"] + (f", CUDA {found['cuda']}" if found["cuda"] else "")
        machine = f"{found['processor'] or 'unknown processor'}, {found['cores']} cores, {plural(found['threads'] or 0, 'thread')} a run"
        rows.append(
            (
                text(plural(count, "run")),
                text(f"Python {found['python']}, {packages}"),
                text(device),
                text(machine),
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

"""Whom to cite: for the methods that were on, for the data, and for the statistics."""

from __future__ import annotations

from mtl.methods.toggles import sources_of
from mtl.report.data import ReportData
from mtl.report.document import Listing, Section

EXAMPLE = "the worked example: Gorti, Thiesmeyer. Freeze Your Layers. Stanford CS224N, 2023."

STATISTICS = (
    "correction over arms: Holm. A Simple Sequentially Rejective Multiple Test Procedure. "
    "Scandinavian Journal of Statistics 6, 1979.",
    "intervals: Scheffé. The Analysis of Variance, chapter 7. 1959; critical values: Cochran, "
    "Cox. Experimental Designs, 4.14. 1957.",
)


def section(data: ReportData) -> Section:
    configs = [arm.config for arm in data.arms.values()]
    used = [f"{source.title}: {source.text}" for source in sources_of(configs)]
    statistics = STATISTICS if not data.is_single_run else ()
    return Section(
        title="Sources", key="sources", blocks=(Listing(items=(EXAMPLE, *used, *statistics)),)
    )

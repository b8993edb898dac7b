"""The works to cite for each surgery."""

from __future__ import annotations

from collections.abc import Callable

from mtl.config.schema import RunConfig
from mtl.methods.toggle import Source


def _has_surgery(word: str) -> Callable[[RunConfig], bool]:
    return lambda config: config.surgery == word


_TEXTS = {
    "gradvac": (
        "GradVac",
        "Wang, Tsvetkov, Firat, Cao. Gradient Vaccine. ICLR 2021, arXiv:2010.05874.",
    ),
    "mgda": (
        "MGDA",
        "Sener, Koltun. Multi-Task Learning as Multi-Objective Optimization. NeurIPS 2018, "
        "arXiv:1810.04650.",
    ),
    "imtlg": ("IMTL-G", "Liu et al. Towards Impartial Multi-task Learning. ICLR 2021."),
    "alignedmtl": (
        "Aligned-MTL",
        "Senushkin et al. Independent Component Alignment for Multi-Task Learning. CVPR 2023, "
        "arXiv:2305.19000.",
    ),
    "cagrad": (
        "CAGrad",
        "Liu et al. Conflict-Averse Gradient Descent for Multi-task Learning. NeurIPS 2021, "
        "arXiv:2110.14048.",
    ),
    "upgrad": (
        "UPGrad",
        "Quinton, Rey. Jacobian Descent for Multi-Objective Optimization. 2024, arXiv:2406.16232.",
    ),
    "dualproj": (
        "DualProj",
        "Lopez-Paz, Ranzato. Gradient Episodic Memory for Continual Learning. NeurIPS 2017, "
        "arXiv:1706.08840.",
    ),
    "fairgrad": (
        "FairGrad",
        "Ban, Ji. Fair Resource Allocation in Multi-Task Learning. ICML 2024, arXiv:2402.15638.",
    ),
    "random": (
        "random weights",
        "Lin et al. Reasonable Effectiveness of Random Weighting. TMLR 2022, arXiv:2111.10603.",
    ),
}


SURGERY_SOURCES = (
    Source(
        title="PCGrad, and the dominant variant",
        text="Yu et al. Gradient Surgery for Multi-Task Learning. NeurIPS 2020, arXiv:2001.06782.",
        when=lambda config: config.surgery in ("pcgrad", "dominant"),
    ),
    *(
        Source(title=title, text=text, when=_has_surgery(word))
        for word, (title, text) in _TEXTS.items()
    ),
)

"""Whom to cite: the sources of the methods that were on, of the data, and of what the report computes."""

from __future__ import annotations

from collections.abc import Callable

from mtl.config.schema import RunConfig
from mtl.report.document import Listing, Section
from mtl.report.material import Material

When = Callable[[RunConfig], bool]

CITATIONS: dict[str, tuple[str, When]] = {
    "the worked example": (
        "Gorti, Thiesmeyer. Freeze Your Layers. Stanford CS224N, 2023.",
        lambda config: True,
    ),
    "encoder": (
        "Devlin, Chang, Lee, Toutanova. BERT: Pre-training of Deep Bidirectional Transformers. NAACL 2019, arXiv:1810.04805.",
        lambda config: True,
    ),
    "encoder minilm-l6": (
        "Wang et al. MiniLM: Deep Self-Attention Distillation. NeurIPS 2020, arXiv:2002.10957.",
        lambda config: config.encoder == "minilm-l6",
    ),
    "pooled batches": (
        "Liu, He, Chen, Gao. Multi-Task Deep Neural Networks. ACL 2019, arXiv:1901.11504.",
        lambda config: config.schedule == "pooled" and len(config.tasks) > 1,
    ),
    "annealed schedule": (
        "Stickland, Murray. BERT and PALs. ICML 2019, arXiv:1902.02671.",
        lambda config: config.schedule in ("annealed", "sqrt"),
    ),
    "siamese pairs": (
        "Reimers, Gurevych. Sentence-BERT. EMNLP 2019, arXiv:1908.10084.",
        lambda config: config.pairing == "siamese" and any(task != "sst" for task in config.tasks),
    ),
    "PCGrad, and the dominant variant": (
        "Yu et al. Gradient Surgery for Multi-Task Learning. NeurIPS 2020, arXiv:2001.06782.",
        lambda config: config.surgery != "sum",
    ),
    "SMART": (
        "Jiang et al. SMART: Robust and Efficient Fine-Tuning. ACL 2020, arXiv:1911.03437.",
        lambda config: config.smart is not None,
    ),
    "sst": (
        "Socher et al. Recursive Deep Models for Semantic Compositionality over a Sentiment Treebank. EMNLP 2013.",
        lambda config: config.data != "sample" and "sst" in config.tasks,
    ),
    "sts": (
        "Agirre et al. *SEM 2013 shared task: Semantic Textual Similarity. *SEM 2013.",
        lambda config: config.data != "sample" and "sts" in config.tasks,
    ),
}
"""What -> its source, and the configs that it is a source of."""

STATISTICS = (
    "correction over arms: Holm. A Simple Sequentially Rejective Multiple Test Procedure. Scandinavian Journal of Statistics 6, 1979.",
    "intervals: Scheffé. The Analysis of Variance, chapter 7. 1959; critical values: Cochran, Cox. Experimental Designs, 4.14. 1957.",
)


def section(material: Material) -> Section:
    configs = [arm.config for arm in material.arms.values()]
    used = [
        f"{what}: {source}"
        for what, (source, when) in CITATIONS.items()
        if any(when(config) for config in configs)
    ]
    statistics = STATISTICS if material.kind != "run" else ()
    return Section(title="Sources", key="sources", blocks=(Listing(items=(*used, *statistics)),))

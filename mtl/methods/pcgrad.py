"""PCGrad: project conflicting gradients."""

from __future__ import annotations

import numpy as np

from mtl.methods.surgery import Surgery, register


@register("pcgrad")
class PCGrad(Surgery):
    """Project each task's gradient off those that it conflicts with.

    Task i visits the others j in random order, drawn from `generator`. Where its gradient, as
    changed so far, has g_i . g_j < 0, its component along the original g_j is removed.
    The step's gradient is the sum over tasks, as in the paper; a mean, which some implementations
    take, would change the backbone's learning rate against that of the heads.
    Source: Yu et al., NeurIPS 2020 (arXiv:2001.06782).

    Example, with the gradients (3, 0) and (-1, 1), each projected off the other:
        >>> gram = np.array([[9.0, -3.0], [-3.0, 2.0]])
        >>> PCGrad().coefficients(gram, np.random.default_rng(0)).round(2)
        array([[1.  , 1.5 ],
               [0.33, 1.  ]])
    """

    def coefficients(self, gram: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        coefficients = np.eye(len(gram))
        for i, row in enumerate(coefficients):
            for j in generator.permutation(len(gram)):
                product = row @ gram[j]
                # A gradient whose square underflows to 0 has no direction to project off.
                if j != i and product < 0 and gram[j, j] > 0:
                    row[j] -= product / gram[j, j]
        return coefficients

"""Surgery towards the dominant task."""

from __future__ import annotations

import numpy as np

from mtl.methods.surgery import Surgery, register


@register("dominant")
class Dominant(Surgery):
    """Project each task's gradient off the largest where they conflict.

    d is the task with the largest gradient (the first of equals). Where g_i . g_d < 0, g_i loses
    its component along g_d. Conflicts between two other tasks stay.
    Source: Gorti & Thiesmeyer 2023.

    Example, with the gradients (3, 0) and (-1, 1); the second becomes (0, 1):
        >>> gram = np.array([[9.0, -3.0], [-3.0, 2.0]])
        >>> Dominant().coefficients(gram, np.random.default_rng(0)).round(2)
        array([[1.  , 0.  ],
               [0.33, 1.  ]])
    """

    def coefficients(self, gram: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        coefficients = np.eye(len(gram))
        d = int(np.argmax(gram.diagonal()))
        for i, product in enumerate(gram[:, d]):
            if product < 0:
                coefficients[i, d] -= product / gram[d, d]
        return coefficients

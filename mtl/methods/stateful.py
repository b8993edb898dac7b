"""What a method keeps from step to step, so that an interrupted run resumes with it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


class Stateful:
    """A method with a state of its own; most have none."""

    def tensors(self) -> dict[str, Tensor]:
        """The state by names, for `load`."""
        return {}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `tensors` gave. Raises KeyError or ValueError where it is another state."""

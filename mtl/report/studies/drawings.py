"""How the figures of a study's report are drawn; see `mtl.report.render.drawings`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mtl.report.render.drawings import BLACK, BLUE, GREY, Data, bare, subplots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def history(data: Data) -> Figure:
    """Every trial's score, the best so far, and ticks where trials were pruned."""
    figure, axes = _axes(height=3.0)
    numbers, values, best = zip(*data["trials"], strict=True)
    axes.plot(numbers, values, "o", color=GREY, ms=4, label="trial")
    axes.step(numbers, best, where="post", color=BLUE, label="best so far")
    if data["pruned"]:
        low = min(values)
        axes.plot(
            data["pruned"], [low] * len(data["pruned"]), "|", color=BLACK, ms=7, label="pruned"
        )
    axes.set_xlabel("trial")
    axes.set_ylabel(data["key"])
    return _with_legend(figure)


def importances(data: Data) -> Figure:
    """Shares of what mattered, a bar for each parameter and evaluator."""
    figure, axes = _axes(height=1.0 + 0.17 * len(data["names"]) * len(data["shares"]))
    height = 0.8 / max(1, len(data["shares"]))
    for at, (evaluator, shares) in enumerate(data["shares"].items()):
        places = [place + at * height for place in range(len(shares))]
        look: dict[str, Any] = (
            {"color": BLUE} if at == 0 else {"color": "white", "edgecolor": BLACK, "hatch": "////"}
        )
        axes.barh(
            places,
            [share or 0.0 for share in shares],
            height=height,
            label=evaluator,
            linewidth=0.6,
            **look,
        )
    axes.set_yticks(
        [place + 0.4 - height / 2 for place in range(len(data["names"]))], data["names"]
    )
    axes.invert_yaxis()
    axes.set_xlabel("share")
    return _with_legend(figure)


def front(data: Data) -> Figure:
    """Trials by two objectives, those on the front filled."""
    figure, axes = _axes(height=3.0)
    for on, look in ((False, {"mfc": "white", "mec": GREY}), (True, {"mfc": BLUE, "mec": BLUE})):
        points = [(x, y) for x, y, on_front in data["points"] if bool(on_front) is on]
        label = "on the front" if on else "beaten"
        axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            "o",
            ls="none",
            ms=5,
            label=label,
            **look,  # type: ignore[arg-type]
        )
    axes.set_xlabel(data["x"])
    axes.set_ylabel(data["y"])
    return _with_legend(figure)


def _axes(height: float) -> tuple[Figure, Axes]:
    figure, (axes,) = subplots(1, 1, width=5.6, height=height)
    bare(axes)
    return figure, axes


def _with_legend(figure: Figure) -> Figure:
    figure.legend(loc="outside upper right", ncols=3)
    return figure


DRAWINGS: dict[str, Callable[[Data], Figure]] = {
    "study-front": front,
    "study-history": history,
    "study-importances": importances,
}

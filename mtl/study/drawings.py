"""The figures of a study's report, in the look of all reports."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mtl.report.document import Figure
from mtl.report.figures import digest, style
from mtl.study.document import FRONT, HISTORY, IMPORTANCES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Data = Mapping[str, Any]
BLACK, GREY, BLUE = "#222222", "#888888", "#0072b2"


def draw(figure: Figure) -> bytes:
    """A figure as SVG; equal data give equal bytes on one version of matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    with style():
        names = len(figure.data.get("names", ())) * len(figure.data.get("shares", ()))
        canvas = Canvas(figsize=(5.6, 1.0 + 0.17 * names if names else 3.0))
        FigureCanvasAgg(canvas)
        axes = canvas.add_subplot()
        DRAWINGS[figure.drawing](axes, figure.data)
        canvas.legend(loc="outside upper right", ncols=3)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        buffer = io.BytesIO()
        canvas.savefig(
            buffer, format="svg", metadata={"Date": None, "Creator": None, "Description": f"data {digest(figure)}"}
        )
    return buffer.getvalue()


def _history(axes: Axes, data: Data) -> None:
    numbers = [one[0] for one in data["trials"]]
    axes.plot(numbers, [one[1] for one in data["trials"]], "o", color=GREY, ms=4, label="trial")
    axes.step(numbers, [one[2] for one in data["trials"]], where="post", color=BLUE, label="best so far")
    if data["pruned"]:
        low = min(one[1] for one in data["trials"])
        axes.plot(data["pruned"], [low] * len(data["pruned"]), "|", color=BLACK, ms=7, label="pruned")
    axes.set_xlabel("trial")
    axes.set_ylabel(data["key"])


def _importances(axes: Axes, data: Data) -> None:
    height = 0.8 / max(1, len(data["shares"]))
    for at, (evaluator, shares) in enumerate(data["shares"].items()):
        places = [place + at * height for place in range(len(shares))]
        look: dict[str, Any] = {"color": BLUE} if at == 0 else {"color": "white", "edgecolor": BLACK, "hatch": "////"}
        axes.barh(places, [share or 0.0 for share in shares], height=height, label=evaluator, linewidth=0.6, **look)
    axes.set_yticks([place + 0.4 - height / 2 for place in range(len(data["names"]))], data["names"])
    axes.invert_yaxis()
    axes.set_xlabel("share")


def _front(axes: Axes, data: Data) -> None:
    for on, look in ((False, {"mfc": "white", "mec": GREY}), (True, {"mfc": BLUE, "mec": BLUE})):
        points = [one for one in data["points"] if bool(one[2]) is on]
        label = "on the front" if on else "beaten"
        axes.plot([one[0] for one in points], [one[1] for one in points], "o", ls="none", ms=5, label=label, **look)  # type: ignore[arg-type]
    axes.set_xlabel(data["x"])
    axes.set_ylabel(data["y"])


DRAWINGS: dict[str, Callable[[Axes, Data], None]] = {HISTORY: _history, IMPORTANCES: _importances, FRONT: _front}

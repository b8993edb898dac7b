"""How each kind of figure is drawn: data in, a matplotlib figure out.

`mtl.report.render.figures` sets the look and writes the file.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Data = Mapping[str, Any]

BLACK, GREY, BAND = "#222222", "#888888", "#ececec"
BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
WORDS = {
    "helps": (BLUE, "o"),
    "hurts": (ORANGE, "v"),
    "no difference": (BLACK, "s"),
    "not worse": (GREEN, "^"),
    "not better": (PURPLE, "<"),
    "undecided": (GREY, "D"),
    "no verdict": (GREY, "x"),
}
"""Colour and shape of a verdict."""

MODELS = ((BLACK, "o", "-"), (BLUE, "s", "--"), (ORANGE, "^", "-."), (GREEN, "D", ":"))
"""Colour, marker and line of the arms that a figure looks at closely."""

MOST_NAME = 40
"""Characters of an arm's name on an axis."""
MOST_ANNOTATED = 30
"""With more classes than this, a confusion matrix has no numbers and no names."""


def effects(data: Data) -> Figure:
    """Differences from the baseline with intervals, a panel a score."""
    arms = list(dict.fromkeys(line["arm"] for panel in data["panels"] for line in panel["lines"]))
    places = {arm: place for place, arm in enumerate(arms)}
    figure, panels = subplots(
        1,
        len(data["panels"]),
        width=2.4 + 1.75 * len(data["panels"]),
        height=1.15 + 0.27 * len(arms),
    )
    seen: dict[str, Any] = {}
    for axes, panel in zip(panels, data["panels"], strict=True):
        axes.axvspan(-panel["margin"], panel["margin"], color=BAND, lw=0)
        axes.axvline(0, color=BLACK, lw=0.8)
        for line in panel["lines"]:
            colour, marker = WORDS[line["word"]]
            y = places[line["arm"]]
            axes.plot(
                [line["low"], line["high"]], [y, y], color=colour, lw=1.4, solid_capstyle="butt"
            )
            (seen[line["word"]],) = axes.plot(
                line["value"], y, marker, color=colour, ms=4.5, ls="none"
            )
        axes.set_title(panel["score"])
        axes.set_ylim(len(arms) - 0.4, -0.6)
        axes.set_yticks(range(len(arms)), [shortened(arm) for arm in arms])
        axes.tick_params(axis="y", length=0, labelleft=axes is panels[0])
        axes.locator_params(axis="x", nbins=4)
        bare(axes, left=False)
    figure.supxlabel(data["unit"], fontsize=8.5)
    words = [word for word in WORDS if word in seen]
    figure.legend(
        [seen[word] for word in words], words, loc="outside upper right", ncols=len(words)
    )
    return figure


def bare(axes: Axes, *, left: bool = True) -> None:
    """No frame but the axes that carry a scale."""
    for side in ("top", "right") if left else ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def wrapped(name: str, width: int) -> str:
    """A name on at most two lines."""
    lines = textwrap.wrap(name, width, break_long_words=True) or [""]
    return "\n".join(
        [*lines[:1], *([shortened(" ".join(lines[1:]), width)] if len(lines) > 1 else [])]
    )


def shortened(name: str, most: int = MOST_NAME) -> str:
    """A name that fits on an axis."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def subplots(
    rows: int, columns: int, *, width: float, height: float, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure of this many inches, and its panels in a row.

    It does without pyplot, so that the figures of a notebook are left alone.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure, list(np.ravel(figure.subplots(rows, columns, squeeze=False, **options)))


def factors(data: Data) -> Figure:
    """Main effects, interactions and shares as points with intervals, kinds apart."""
    lines = data["lines"]
    kinds = list(dict.fromkeys(line["kind"] for line in lines))
    figure, (axes,) = subplots(1, 1, width=6.4, height=1.0 + 0.24 * (len(lines) + len(kinds)))
    axes.axvspan(-data["margin"], data["margin"], color=BAND, lw=0)
    axes.axvline(0, color=BLACK, lw=0.8)
    place, ticks, labels = 0.0, [], []
    for kind in kinds:
        colour, marker, _ = MODELS[kinds.index(kind) % len(MODELS)]
        for number, line in enumerate(line for line in lines if line["kind"] == kind):
            axes.plot(
                [line["low"], line["high"]], [place, place], color=colour, solid_capstyle="butt"
            )
            axes.plot(
                line["value"],
                place,
                marker,
                color=colour,
                ms=4.5,
                ls="none",
                label=kind if number == 0 else None,
            )
            ticks.append(place)
            labels.append(shortened(line["of"], 56))
            place += 1
        place += 0.8
    axes.set_yticks(ticks, labels)
    axes.set_ylim(place - 0.9, -0.9)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"effect on {data['score']} on dev")
    bare(axes, left=False)
    figure.legend(loc="outside upper right", ncols=len(kinds))
    return figure


def confusion(data: Data) -> Figure:
    """Confusion matrices, per cent of each gold class."""
    import seaborn  # type: ignore[import-untyped]

    panels, names = data["panels"], data["names"]
    side = max(2.3, 0.27 * len(names))
    annotated = len(names) <= MOST_ANNOTATED
    side = side if annotated else 6.0
    figure, axes = subplots(
        1, len(panels), width=1.5 + side * len(panels), height=0.6 + side, sharey=True
    )
    for plot, panel in zip(axes, panels, strict=True):
        counts = np.array(panel["counts"], dtype=float)
        shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
        seaborn.heatmap(
            shares,
            ax=plot,
            vmin=0,
            vmax=100,
            cmap="Blues",
            annot=annotated,
            fmt=".0f",
            square=True,
            linewidths=0.5 if annotated else 0,
            cbar=False,
            xticklabels=range(len(names)) if annotated else "auto",
            yticklabels=[f"{shortened(name)} {label}" for label, name in enumerate(names)]
            if annotated
            else "auto",
            annot_kws={"size": 8},
        )
        plot.set_title(f"{wrapped(panel['arm'], 26)} (n={panel['seeds']})")
        plot.set_xlabel("taken for class")
        plot.tick_params(length=0, rotation=0)
    axes[0].set_ylabel("gold class (a row sums to 100 %)")
    return figure


def regression(data: Data) -> Figure:
    """Gold scores against predictions, with the least-squares line and the extreme residuals."""
    panels = data["panels"]
    figure, axes = subplots(1, len(panels), width=0.5 + 2.7 * len(panels), height=2.9, sharey=True)
    for plot, panel in zip(axes, panels, strict=True):
        x, y = np.array(panel["predicted"]), np.array(panel["gold"])
        plot.scatter(x, y, s=7, color=BLUE, alpha=0.3, lw=0, rasterized=False)
        if panel["line"] is not None:
            slope, start = panel["line"]
            ends = np.array([x.min(), x.max()])
            plot.plot(ends, slope * ends + start, color=BLACK)
            marked = panel["extremes"]
            plot.scatter(x[marked], y[marked], s=46, facecolors="none", edgecolors=ORANGE, lw=1.2)
            label = f"gold = {slope:.2f} x predicted {start:+.2f}"
        else:
            label = "all predictions are equal: no line"
        plot.set_title(f"{wrapped(panel['arm'], 26)}, seed {panel['seed']}\n")
        plot.annotate(
            label,
            (0, 1),
            (0, 4),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=8,
            color="#444444",
        )
        plot.set_xlabel("predicted score")
        if data["range"] is not None:
            low, high = data["range"]
            plot.set_ylim(low - 0.04 * (high - low), high + 0.04 * (high - low))
        bare(plot)
    axes[0].set_ylabel(data["gold"])
    return figure


def curves(data: Data) -> Figure:
    """Scores over epochs: train dashed and hollow, dev solid; a panel a score, a colour an arm."""
    from matplotlib.ticker import MaxNLocator

    panels = data["panels"]
    arms = list(dict.fromkeys(line["arm"] for panel in panels for line in panel["lines"]))
    figure, axes = subplots(
        1, len(panels), width=0.6 + 1.9 * len(panels), height=2.6 + 0.16 * len(arms)
    )
    for plot, panel in zip(axes, panels, strict=True):
        for line in panel["lines"]:
            colour, marker, _ = MODELS[arms.index(line["arm"]) % len(MODELS)]
            on_dev = line["split"] == "dev"
            style = "-" if on_dev else (0, (4, 2))
            face = colour if on_dev else "white"  # a single evaluation has no line to tell them
            for run in line["runs"]:
                plot.plot(*zip(*run, strict=True), color=colour, ls=style, lw=0.6, alpha=0.35)
            epochs, means = _mean_curve(line["runs"])
            plot.plot(epochs, means, color=colour, ls=style, marker=marker, ms=3, mfc=face)
        plot.set_title(panel["score"])
        plot.set_xlabel("epoch")
        plot.locator_params(axis="y", nbins=5)
        plot.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
        bare(plot)
    axes[0].set_ylabel("score")
    _curve_legend(figure, arms)
    return figure


def _mean_curve(runs: Sequence[Sequence[Sequence[float]]]) -> tuple[list[float], list[float]]:
    """The mean over the runs that have a point at an epoch."""
    points: dict[float, list[float]] = {}
    for run in runs:
        for epoch, value in run:
            points.setdefault(epoch, []).append(value)
    return sorted(points), [float(np.mean(points[epoch])) for epoch in sorted(points)]


def _curve_legend(figure: Figure, arms: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [],
            [],
            color=MODELS[number % len(MODELS)][0],
            marker=MODELS[number % len(MODELS)][1],
            ms=3,
            label=shortened(arm),
        )
        for number, arm in enumerate(arms)
    ]
    handles += [
        Line2D([], [], color=GREY, ls="-", marker="o", ms=3, label="dev"),
        Line2D([], [], color=GREY, ls=(0, (4, 2)), marker="o", ms=3, mfc="white", label="train"),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=min(6, len(handles)))


DRAWINGS: dict[str, Callable[[Data], Figure]] = {
    "confusion": confusion,
    "curves": curves,
    "effects": effects,
    "factors": factors,
    "regression": regression,
}

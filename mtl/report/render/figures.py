"""Draws figures: the same look everywhere, and equal bytes for equal numbers.

Colours are Okabe & Ito's, told apart by colour-blind readers, and never the only sign: shapes and
labels say the same. Names are text (`$` begins no formula). Files are SVG with glyphs as outlines;
each holds the digest of its data, so that a stale one is found without drawing it again.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from mtl.report.document import Figure
from mtl.report.render import drawings
from mtl.report.studies import drawings as study_drawings

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

DRAWINGS = drawings.DRAWINGS | study_drawings.DRAWINGS

STYLE: dict[str, Any] = {
    "font.size": 8.5,
    "font.family": ["DejaVu Sans"],
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.6,
    "axes.edgecolor": "#555555",
    "axes.axisbelow": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.4,
    "figure.constrained_layout.use": True,
    "text.parse_math": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "mtl",
}


def digest(figure: Figure) -> str:
    """16 hex digits of what a figure shows and how.

    The last bits of a number, which differ between machines, do not count.
    """
    shown = json.dumps([figure.drawing, _as_drawn(figure.data)], sort_keys=True, allow_nan=False)
    return hashlib.sha256(shown.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _as_drawn(value: Any) -> Any:
    """The same plain data with six digits of a number, and none beyond the ninth decimal place."""
    if isinstance(value, float):
        return float(f"{round(value, 9):.6g}") + 0.0  # no -0
    if isinstance(value, dict):
        return {key: _as_drawn(item) for key, item in value.items()}
    return [_as_drawn(item) for item in value] if isinstance(value, list | tuple) else value


def digest_in(svg: bytes) -> str | None:
    """The digest that a file was drawn from; None where it says none."""
    match = re.search(rb"data ([0-9a-f]{16})", svg[:4000])
    return match[1].decode() if match else None


@contextmanager
def style() -> Iterator[None]:
    """The look of every figure, whatever the user's own settings; they are back afterwards."""
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        cast(Any, matplotlib.rcParams).update(STYLE)  # its types name every key
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # shown as a box
        yield


def draw(figure: Figure) -> bytes:
    """A figure as SVG; equal data give equal bytes on one version of matplotlib."""
    with style():
        canvas: Canvas = DRAWINGS[figure.drawing](figure.data)
        buffer = io.BytesIO()
        canvas.savefig(
            buffer,
            format="svg",
            metadata={"Date": None, "Creator": None, "Description": f"data {digest(figure)}"},
        )
    return buffer.getvalue()

"""What all figures share: colours, labels, the Axes, and how a picture becomes a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, apart from its yellow, distinct for all kinds of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

MARKERS = ("o", "s", "D", "^", "v", "<", ">")

RATIO = r"compression ratio $r = n_\mathrm{dense}/n_\mathrm{sparse}$"
PROBABILITY = "probability p that a feature is on"
RELATIVE_LOSS = r"loss / variance $v(p)$ of a feature"


def styles(keys: Iterable[Any]) -> dict[Any, tuple[str, str]]:
    """Colour and marker of each of `keys`, in rising order: no two the same up to 49 keys.

    Where several Axes share a legend, or a reader, `keys` are those of all of them: what one of
    them lacks must not change what the others mean.
    """
    known = sorted(set(keys))
    n = len(COLOURS)
    return {key: (COLOURS[k % n], MARKERS[(k + k // n) % n]) for k, key in enumerate(known)}


def weight_colours() -> Any:
    """Colours of negative weights, zero and positive ones, the same in docs/explorer."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("weights", [COLOURS[1], "#FFFFFF", COLOURS[0]])


def axes(ax: Axes | None) -> Axes:
    """The Axes given, or pyplot's current ones."""
    if ax is None:
        import matplotlib.pyplot as plt

        return plt.gca()
    return ax


def colour_bar(mappable: Any, ax: Axes, label: str) -> list[Any]:
    """A colour bar beside `ax`, if it is in a figure."""
    figure = ax.get_figure()
    return [] if figure is None else [figure.colorbar(mappable, ax=ax, label=label)]


def check_suffix(path: Path) -> None:
    """Raise unless pictures can be written in the format of the suffix of `path`."""
    from matplotlib.backend_bases import FigureCanvasBase

    valid = FigureCanvasBase.get_supported_filetypes()
    if path.suffix[1:].lower() not in valid:
        raise ValueError(f"{path} must end in one of .{', .'.join(sorted(valid))}")


def save(
    path: Path, draw: Callable[[Figure], object], size: tuple[float, float], dpi: int = 150
) -> None:
    """Write what `draw` puts on a Figure of `size` in inches; `path` appears whole or not at all.

    The format is that of the suffix of `path`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    check_suffix(path)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure)
    with replacing(path) as partial:
        figure.savefig(partial, dpi=dpi)

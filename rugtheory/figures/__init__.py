"""Figures.  A function draws on the Axes it is given and returns the artists; it saves nothing."""

from .allocation import draw_allocation, draw_allocation_phases, draw_allocation_scaling
from .features import draw_capacity, draw_losses, draw_spectrum
from .reachable import draw_reachable
from .theory import (
    draw_curves,
    draw_dark_matter,
    draw_decoders,
    draw_grid,
    draw_pairs,
    draw_phases,
    draw_scaling,
)
from .trained import draw_map, draw_paths, draw_trained
from .weights import (
    draw_corner,
    draw_descent,
    draw_diagonal,
    draw_lyapunov,
    draw_row_law,
    draw_rug,
    draw_waterfall,
)

__all__ = [
    "draw_allocation",
    "draw_allocation_phases",
    "draw_allocation_scaling",
    "draw_capacity",
    "draw_corner",
    "draw_curves",
    "draw_dark_matter",
    "draw_decoders",
    "draw_descent",
    "draw_diagonal",
    "draw_grid",
    "draw_losses",
    "draw_lyapunov",
    "draw_map",
    "draw_pairs",
    "draw_paths",
    "draw_phases",
    "draw_reachable",
    "draw_row_law",
    "draw_rug",
    "draw_scaling",
    "draw_spectrum",
    "draw_trained",
    "draw_waterfall",
]

"""The amplitude laws by name, as texts write them: "uniform:0,1"."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import astuple
from typing import Any

from .amplitude import Amplitude
from .beta import Beta
from .discrete import Constant, FromQuadrature
from .exponential import Exponential
from .half_normal import HalfNormal
from .truncated_normal import TruncatedNormal
from .uniform import Uniform

# A law is a frozen dataclass of numbers; those after the colon are its parameters in order.
LAWS: dict[str, Callable[..., Amplitude]] = {
    "uniform": Uniform,
    "constant": Constant,
    "exponential": Exponential,
    "halfnormal": HalfNormal,
    "beta": Beta,
    "truncatednormal": TruncatedNormal,
}


def read_law(text: str) -> Amplitude:
    """The law that a text names; ValueError if there is none, or a parameter is wrong."""
    match = re.fullmatch(r"(\w+)(?::([^:]+))?", text)
    if match is None or match[1] not in LAWS:
        raise ValueError(f"must be one of {', '.join(LAWS)}, got {text!r}")
    try:
        return LAWS[match[1]](*(float(x) for x in (match[2] or "").split(",") if x))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{text!r}: {error}") from None


def law_from(value: Any) -> Amplitude:
    """The law of a text, or of a mapping with the nodes and weights of a discrete one."""
    if isinstance(value, str):
        return read_law(value)
    if isinstance(value, Mapping) and set(value) == {"nodes", "weights"}:
        return FromQuadrature(tuple(value["nodes"]), tuple(value["weights"]))
    raise ValueError(f"must be a text or have nodes and weights, got {value!r:.60}")


def law_text(law: Amplitude) -> str:
    """All that there is to know of a law, for the record of what a result was made from."""
    if type(law) is FromQuadrature:
        return f"FromQuadrature(nodes={law.nodes}, weights={law.weights})"
    return repr(law)


def law_to(law: Any) -> str | dict[str, list[float]]:
    """What `law_from` reads; TypeError for a law that has no name."""
    if type(law) is FromQuadrature:
        return {"nodes": list(law.nodes), "weights": list(law.weights)}
    for name, kind in LAWS.items():
        if type(law) is kind:
            return f"{name}:{','.join(repr(x) for x in astuple(law))}"
    raise TypeError(f"amplitude must be one of {', '.join(LAWS)} to be written, got {law!r:.60}")

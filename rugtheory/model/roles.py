"""Which tensor is which weight: the one that `names` gives, or the one whose name says so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .state import State, is_tensor

ROLES = ("W_in", "W_out", "W", "b", "b_in")

# Names of the two matrices, in small letters without punctuation.
_PAIRS = (
    ("win", "wout"),
    ("initiallayer", "finallayer"),
    ("encoder", "decoder"),
    ("wenc", "wdec"),
    ("encode", "decode"),
    ("enc", "dec"),
    ("wencoder", "wdecoder"),
    ("we", "wd"),
    ("in", "out"),
    ("linearin", "linearout"),
    ("fcin", "fcout"),
    ("inproj", "outproj"),
    ("inlayer", "outlayer"),
    ("down", "up"),
    ("downproj", "upproj"),
    ("compress", "decompress"),
    ("embed", "unembed"),
    ("wembed", "wunembed"),
    ("project", "reconstruct"),
)
# One of these without its partner is not half of anything else.
_ALONE = 4
_TIED = ("w", "weight", "weights", "kernel")
_OUT_BIASES: tuple[str, ...] = (
    "b",
    "bias",
    "bfinal",
    "finalbias",
    "bout",
    "biasout",
    "outbias",
    "outputbias",
)
_OUT_BIASES += ("bdec", "biasdec", "decbias", "decoderbias", "bdecoder", "bd", "biases")
_IN_BIASES: tuple[str, ...] = (
    "bin",
    "biasin",
    "inbias",
    "benc",
    "biasenc",
    "encbias",
    "encoderbias",
    "bencoder",
)
_IN_BIASES += ("be", "bhidden", "hiddenbias", "biashidden")
# Parts of names of vectors that are no biases.
_NO_BIAS = re.compile("import|prob|freq|scal|mask|mean|var|norm|rate|spars|std|count|weight")


class Unclear(ValueError):
    """What a checkpoint holds cannot be read as a model; the message lacks what it holds."""


@dataclass(frozen=True)
class Choice:
    """The tensors of one role.

    Attributes
    ----------
    names : tuple of str
        In the order in which they are applied to features.
    turned : tuple of bool
        Which of them `names` asked to be transposed, by ".T".
    how : "given", "name" or "shape"
        Why they have this role: `names` says so, their own names do, or their shapes.
    """

    names: tuple[str, ...]
    turned: tuple[bool, ...] = (False,)
    how: str = "name"


@dataclass(frozen=True)
class Name:
    """A name taken apart: "encoder.0.weight" is of the layer "encoder", its "weight"."""

    stem: str
    kind: str

    @property
    def number(self) -> tuple[str, int] | None:
        found = re.fullmatch(r"(.*?)(\d+)", self.stem)
        return None if found is None else (found[1], int(found[2]))


def taken_apart(state: State) -> dict[str, Name]:
    """The parts of all names."""
    cut = {}
    for name, short in state.short.items():
        head, _, last = short.rpartition(".")
        is_kind = last in ("weight", "bias", "kernel") and head
        cut[name] = (head, last) if is_kind else (short, "")
    heads = [head for head, last in cut.values() if last != "bias"]
    found = {}
    for name, (head, kind) in cut.items():
        front, dot, number = head.rpartition(".")
        if dot and number.isdigit() and sum(x.rpartition(".")[0] == front for x in heads) == 1:
            head = front
        found[name] = Name(re.sub(r"[^a-z0-9]", "", head.lower()), kind)
    return found


def instances(state: State) -> int | None:
    """Length of the axis of instances: the first of tensors with three; None without any."""
    lengths = {x.shape[0] for x in state.tensors.values() if is_tensor(x) and len(x.shape) == 3}
    if len(lengths) > 1:
        raise Unclear(f"first axes of {len(lengths)} different lengths cannot all be of instances")
    if 0 in lengths:
        raise Unclear("an axis of instances has length 0")
    return lengths.pop() if lengths else None


def shape_of(value: Any, k: int | None) -> tuple[int, ...] | None:
    """Shape without the axis of instances; None for what is no tensor."""
    if not is_tensor(value):
        return None
    shape = tuple(value.shape)
    whole = k is not None and len(shape) > 1 and shape[0] == k
    return shape[1:] if whole else shape


def by_name(state: State, given: Mapping[str, Choice]) -> dict[str, Choice]:
    """Roles of tensors, from `given` and from their names."""
    found = dict(given)
    k, parts = instances(state), taken_apart(state)
    used = {name for choice in given.values() for name in choice.names}
    ranks = {name: len(shape_of(x, k) or ()) for name, x in state.tensors.items()}
    free = {name: part for name, part in parts.items() if name not in used}
    matrices = {name: x for name, x in free.items() if ranks[name] == 2 and x.kind != "bias"}
    if not {"W", "W_in", "W_out"} & set(found):
        found |= _matrices(matrices)
    elif "W" not in found:
        missing = {"W_in", "W_out"} - set(found)
        found |= {role: x for role, x in _matrices(matrices).items() if role in missing}
    stems = {
        role: parts[choice.names[-1]]
        for role, choice in found.items()
        if role in ("W_in", "W_out") and choice.names[-1] in parts
    }
    vectors = {name: x for name, x in free.items() if not _used(name, found)}
    for role, names, matrix in (("b", _OUT_BIASES, "W_out"), ("b_in", _IN_BIASES, "W_in")):
        some = [name for name, x in vectors.items() if _is_bias(x, names, stems.get(matrix))]
        if len(some) > 1 and role not in found:
            raise Unclear(f"there is more than one {role}: {', '.join(some)}")
        if some and role not in found:
            found[role] = Choice((some[0],))
    return found


def _used(name: str, found: Mapping[str, Choice]) -> bool:
    return any(name in choice.names for choice in found.values())


def _matrices(free: Mapping[str, Name]) -> dict[str, Choice]:
    """W_in and W_out, or W, among matrices."""

    def of(*stems: str) -> list[str]:
        return [name for name, x in free.items() if x.stem in stems]

    pairs = [(of(first), of(second)) for first, second in _PAIRS]
    full = [(a, b) for a, b in pairs if a and b] or [x for x in pairs[:_ALONE] if x[0] or x[1]]
    if not full:
        tied = of(*_TIED)
        if len(tied) > 1:
            raise Unclear(f"there is more than one W: {', '.join(tied)}")
        return {"W": Choice((tied[0],))} if tied else _numbered(free)
    found = {}
    for role, k in (("W_in", 0), ("W_out", 1)):
        some = [name for pair in full for name in pair[k]]
        if len(some) > 1:
            raise Unclear(f"there is more than one {role}: {', '.join(some)}")
        if some:
            found[role] = Choice((some[0],))
    return found


def _numbered(free: Mapping[str, Name]) -> dict[str, Choice]:
    """Two matrices that differ by a number, such as linear1 and linear2, or 0 and 2."""
    if len(free) != 2 or len({x.number and x.number[0] for x in free.values()}) != 1:
        return {}
    numbers = {name: x.number[1] for name, x in free.items() if x.number is not None}
    if len(set(numbers.values())) != 2:
        return {}
    first, second = sorted(numbers, key=numbers.__getitem__)
    return {"W_in": Choice((first,)), "W_out": Choice((second,))}


def _is_bias(x: Name, names: tuple[str, ...], layer: Name | None) -> bool:
    if x.kind in ("weight", "kernel"):
        return False
    if layer is not None and x.kind == "bias":
        return x.stem == layer.stem
    if layer is not None and layer.number and x.number and x.number[0] in ("b", "bias"):
        return x.number[1] == layer.number[1]
    place = 1 if names is _OUT_BIASES else 0
    return x.stem in (names if x.kind == "" else tuple(pair[place] for pair in _PAIRS))


def may_be_bias(name: Name) -> bool:
    """If a vector that no other weight claims may be a bias by its name."""
    return name.kind != "weight" and not _NO_BIAS.search(name.stem)

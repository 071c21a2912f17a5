"""The weights of a model out of named tensors: what is which, which way round, and what is left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .._check import Array
from .roles import ROLES, Choice, Name, Unclear, by_name, instances, may_be_bias, shape_of
from .roles import taken_apart as parts_of
from .state import State, described, to_array

Names = Mapping[str, str | Sequence[str]]
# The format that `Model.save` names in the metadata of its files.
FORMAT = "rugtheory.model"
# What `Rug.save` writes beside the weights, which follow from it.
_RUG_ROWS = "rows"


@dataclass(frozen=True)
class Layout:
    """Weights, with an axis of instances in front if there are `instances`; biases may be None."""

    w_in: Array
    w_out: Array
    b: Array | None
    b_in: Array | None
    instances: int | None
    said: str
    guessed: bool


def lay_out(state: State, given: Mapping[str, Choice]) -> Layout:
    """The weights that `state` holds; raises Unclear if it is not clear, or if something is left.

    What is ignored is no longer in `state`.
    """
    k = instances(state)
    found = _by_shape(state, by_name(state, given), k)
    w_in, w_out, b, b_in = _oriented(state, found, k)
    _check_left(state, found, w_in)
    if b_in is not None and len(found["b_in"].names) > 1:
        b_in = _folded(state, found)
    for role, array in (("W_in", w_in), ("W_out", w_out), ("b", b), ("b_in", b_in)):
        if array is not None and not np.isfinite(array).all():
            name = _name_of(found, role)
            raise ValueError(
                f"{state.where}: {name} must be finite, got {array[~np.isfinite(array)][0]}"
            )
    guessed = b is None or any(x.how == "shape" for x in found.values())
    return Layout(w_in, w_out, b, b_in, k, _said(state, found), guessed)


def _name_of(found: Mapping[str, Choice], role: str) -> str:
    return " ".join(found[role if role in found else "W"].names)


def _said(state: State, found: Mapping[str, Choice]) -> str:
    """What was taken for what."""
    said = [
        f"{role} = {' then '.join(described(x, state.tensors[x]) for x in found[role].names)}"
        for role in ROLES
        if role in found
    ]
    tied = ["W_out = W transposed"] * ("W" in found)
    return ", ".join(said + tied + ["b = 0, as there is no bias of outputs"] * ("b" not in found))


def _by_shape(state: State, found: dict[str, Choice], k: int | None) -> dict[str, Choice]:
    """`found`, with what names did not tell added where shapes leave one way only."""
    parts = parts_of(state)
    shapes = {name: shape_of(x, k) or () for name, x in state.tensors.items()}
    used = {name for choice in found.values() for name in choice.names}
    matrices = [x for x, shape in shapes.items() if len(shape) == 2 and x not in used]
    if not {"W", "W_in", "W_out"} & set(found):
        big = [x for x in matrices if min(shapes[x]) > 1] or matrices
        layers = all(parts[x].kind for x in big)
        if len(big) == 1:
            found = found | {"W": Choice((big[0],), how="shape")}
        elif len(big) == 2 and layers and shapes[big[0]] == shapes[big[1]][::-1] != shapes[big[1]]:
            found = found | _two_layers(big, shapes, parts)
        else:
            raise Unclear("which tensors are W_in and W_out, or W if they are tied, is not clear")
    if "W" not in found and len({"W_in", "W_out"} & set(found)) == 1:
        (lack,) = {"W_in", "W_out"} - set(found)
        raise Unclear(f"there is no {lack}")
    if "b" not in found:
        used = {name for choice in found.values() for name in choice.names}
        n = _n_sparse(state, found, k)
        some = [
            name
            for name, shape in shapes.items()
            if name not in used and shape in ((n,), (1, n), (n, 1)) and may_be_bias(parts[name])
        ]
        if len(some) > 1:
            raise Unclear(f"which of {', '.join(some)} is b is not clear")
        if some:
            found = found | {"b": Choice((some[0],), how="shape")}
    return found


def _two_layers(
    big: list[str], shapes: Mapping[str, tuple[int, ...]], parts: Mapping[str, Name]
) -> dict[str, Choice]:
    """Layers of PyTorch have shape (outputs, inputs); W_in has fewer outputs."""

    def rows(name: str) -> int:
        return shapes[name][1 if parts[name].kind == "kernel" else 0]

    first, second = sorted(big, key=rows)
    found = {"W_in": Choice((first,), how="shape"), "W_out": Choice((second,), how="shape")}
    for role, layer in (("b_in", first), ("b", second)):
        stem = parts[layer].stem
        some = [x for x, part in parts.items() if part == Name(stem, "bias")]
        found |= dict.fromkeys([role] if some else [], Choice(tuple(some[:1]), how="shape"))
    return found


def _n_sparse(state: State, found: Mapping[str, Choice], k: int | None) -> int | None:
    """The number of features; None if the shapes do not show it."""
    parts = parts_of(state)

    def shape(role: str) -> tuple[int, ...]:
        return shape_of(state.tensors[found[role].names[0]], k) or ()

    if "b" in found and np.prod(shape("b")) > 1:
        return int(np.prod(shape("b")))
    for role, axis in (("W_in", 1), ("W_out", 0)):
        if role not in found:
            continue
        first, last = (found[role].names[at] for at in (0, -1))
        name = first if axis else last
        if _known(state, found[role], parts[name]) or len(set(shape(role))) == 1:
            turned = parts[name].kind == "kernel"
            whole = shape_of(state.tensors[name], k) or ()
            return whole[1 - axis if turned else axis] if len(whole) == 2 else None
    matrix = shape("W" if "W" in found else "W_in")
    if len(matrix) != 2:
        return None
    if "b_in" in found and len(set(matrix)) == 2:
        m = int(np.prod(shape("b_in")))
        return next((x for x in matrix if x != m), None)
    return max(matrix)


def _known(state: State, choice: Choice, part: Name) -> bool:
    """If the name says which way round a matrix is, not its shape."""
    ours = state.metadata.get("format") == FORMAT
    return ours or bool(part.kind) or any(choice.turned) or len(choice.names) > 1


def _oriented(
    state: State, found: Mapping[str, Choice], k: int | None
) -> tuple[Array, Array, Array | None, Array | None]:
    n = _n_sparse(state, found, k)
    biases = {role: _vector(state, found, role, k) for role in ("b", "b_in")}
    for role in ("W_in", "W_out", "W"):
        if role in found:
            _check_axes(
                state, found[role], n, k, sized_by=_name_of(found, "b") if "b" in found else None
            )
    if "W" in found:
        w_in = _matrix(state, found["W"], n, 1, k)
        w_out = np.swapaxes(w_in, -1, -2)
    else:
        w_in, w_out = (
            _matrix(state, found["W_in"], n, 1, k),
            _matrix(state, found["W_out"], n, 0, k),
        )
    if w_in.shape != np.swapaxes(w_out, -1, -2).shape:
        raise Unclear(
            f"{_name_of(found, 'W_in')} {w_in.shape} and {_name_of(found, 'W_out')} "
            f"{w_out.shape} do not fit together"
        )
    _check_bottleneck(state, found, w_in.shape[-2] > w_in.shape[-1])
    for role, size in (("b", w_in.shape[-1]), ("b_in", w_in.shape[-2])):
        bias, unit = biases[role], "features" if role == "b" else "hidden units"
        if bias is None or len(found[role].names) > 1:
            continue
        # One number is the bias of all outputs.
        if bias.shape[-1:] != (size,) and not (role == "b" and bias.size == 1):
            raise Unclear(
                f"{_name_of(found, role)} must be a vector of length {size}, the number of "
                f"{unit}, and has shape {bias.shape}"
            )
    return w_in, w_out, biases["b"], biases["b_in"]


def _check_bottleneck(state: State, found: Mapping[str, Choice], wide: bool) -> None:
    """Raise Unclear where a hidden layer is likely to have an activation, which no file shows."""
    first = found["W" if "W" in found else "W_in"]
    stem = parts_of(state)[first.names[0]].stem
    ours = state.metadata.get("format") == FORMAT or stem in ("win", "initiallayer", "w")
    if wide and not ours and first.how != "given":
        raise Unclear(
            "there are more hidden units than features, as in a sparse autoencoder, which "
            "rugtheory.darkmatter.read_sae reads; if hidden units are linear, say so by names="
        )


def _vector(state: State, found: Mapping[str, Choice], role: str, k: int | None) -> Array | None:
    """A bias, with an axis of instances if it has one; axes of length 1 are dropped."""
    if role not in found:
        return None
    name = found[role].names[-1]
    value = to_array(f"{state.where}: {name}", state.tensors[name])
    if 0 in value.shape:
        raise Unclear(f"{name} must be a vector, and has shape {value.shape}")
    own = k is not None and value.ndim > 1 and value.shape[0] == k
    inner = value.shape[1:] if own else value.shape
    if len(inner) > 1 and 1 in inner:
        inner = (max(inner),)
    if len(inner) > 1:
        raise Unclear(f"{name} must be a vector, and has shape {value.shape}")
    return value.reshape((value.shape[0], *inner) if own else inner)


def _check_axes(
    state: State, choice: Choice, n: int | None, k: int | None, *, sized_by: str | None
) -> None:
    ends = (0, -1) if len(choice.names) > 1 else (0,)
    shapes = [shape_of(state.tensors[choice.names[at]], k) or () for at in ends]
    if any(len(x) != 2 or 0 in x for x in shapes) or not any(n in x for x in shapes):
        whose = f", that of {sized_by}" if sized_by else ""
        raise Unclear(
            f"{choice.names[0]} must be a matrix with an axis of length {n}{whose}, "
            f"and has shape {shapes[0]}"
        )


def _array(state: State, name: str, turned: bool) -> Array:
    """A matrix as a layer of PyTorch would have it, or as it is."""
    w = to_array(f"{state.where}: {name}", state.tensors[name])
    return np.swapaxes(w, -1, -2) if turned != (parts_of(state)[name].kind == "kernel") else w


def _matrix(state: State, choice: Choice, n: int | None, axis: int, k: int | None) -> Array:
    """The matrix of a role, with its axis of length `n` moved to `axis` of the last two."""
    parts, whole = parts_of(state), None
    for name, turned in zip(choice.names, choice.turned, strict=True):
        w = _array(state, name, turned)
        if whole is not None and w.shape[-1] != whole.shape[-2]:
            raise Unclear(f"{name} {w.shape} does not fit on what is before it, {whole.shape}")
        whole = w if whole is None else w @ whole
    assert whole is not None
    square = whole.shape[-1] == whole.shape[-2]
    if square and choice.how != "given" and not _known(state, choice, parts[choice.names[0]]):
        raise Unclear(
            f"{choice.names[0]} is square, so its shape does not show which axis is which; give "
            "names=: W_in is then taken as (n_dense, n_sparse) and W_out as (n_sparse, n_dense), "
            'as layers such as initial_layer.weight are, and turned if ".T" follows the name'
        )
    fits = whole.shape[-2:][axis] == n
    return whole if fits or square else np.swapaxes(whole, -1, -2)


def _folded(state: State, found: Mapping[str, Choice]) -> Array:
    """Biases of linear layers that make up W_in, as one of the hidden units."""
    layers, biases = found["W_in"], found["b_in"]
    if len(layers.names) != len(biases.names):
        raise Unclear(f"b_in must name a bias for each of the {len(layers.names)} layers of W_in")
    total: Array | None = None
    each = zip(layers.names, layers.turned, biases.names, strict=True)
    for layer, turned, name in each:
        b = to_array(f"{state.where}: {name}", state.tensors[name])
        w = _array(state, layer, turned)
        total = b if total is None else np.asarray((w @ total[..., None])[..., 0] + b)
    assert total is not None
    return total


def _check_left(state: State, found: Mapping[str, Choice], w_in: Array) -> None:
    """Raise Unclear if there is anything beside what is used, and the rows of a rug."""
    used = {name for choice in found.values() for name in choice.names}
    left = [name for name in state.tensors if name not in used]
    if _RUG_ROWS in left and state.where.endswith(".safetensors"):
        rows = np.asarray(state.tensors[_RUG_ROWS])
        if rows.dtype.kind in "iu" and rows.shape == w_in.shape[:1]:
            left.remove(_RUG_ROWS)
    if left:
        shown = ", ".join(described(name, state.tensors[name]) for name in sorted(left))
        raise Unclear(
            f"nothing is known about {shown}; a model ReLU(W_out W_in x + b) has only "
            f"{', '.join(sorted(used))} here"
        )


def proposals(state: State) -> Iterator[tuple[Names, tuple[str, ...]]]:
    """Names and what to ignore that shapes allow, the likeliest first."""
    try:
        k = instances(state)
    except Unclear:
        return
    parts = parts_of(state)
    shapes = {name: shape_of(x, k) or () for name, x in state.tensors.items()}
    matrices = [x for x, shape in shapes.items() if len(shape) == 2 and parts[x].kind != "bias"]
    matrices = [x for x in matrices if min(shapes[x]) > 1] or matrices
    ways: list[dict[str, Any]] = [*_chains(matrices, shapes, parts)]
    ways += [
        {"W_in": first, "W_out": second}
        for k_first, first in enumerate(matrices)
        for second in matrices[k_first + 1 :]
        if sorted(shapes[first]) == sorted(shapes[second])
    ]
    ways += [{"W_in": x["W_out"], "W_out": x["W_in"]} for x in ways if isinstance(x["W_in"], str)]
    ways += [{"W": name} for name in matrices]
    for way in ways:
        for names in _with_biases(way, shapes, parts):
            used = {
                x
                for value in names.values()
                for x in ([value] if isinstance(value, str) else value)
            }
            yield names, tuple(x for x in state.tensors if x not in used)


def _chains(
    matrices: list[str], shapes: Mapping[str, tuple[int, ...]], parts: Mapping[str, Name]
) -> Iterator[dict[str, Any]]:
    """Three linear layers or more, one after the other, split where they are narrowest."""
    layers = [x for x in matrices if parts[x].kind == "weight"]
    fit = all(shapes[x][0] == shapes[y][1] for x, y in pairwise(layers))
    if len(layers) < 3 or not fit or shapes[layers[0]][1] != shapes[layers[-1]][0]:
        return
    narrow = 1 + int(np.argmin([shapes[x][0] for x in layers[:-1]]))
    ends = layers[:narrow], layers[narrow:]
    if len(ends[1]) == 1:
        yield {"W_in": tuple(ends[0]), "W_out": ends[1][0]}
    elif not any(
        part.kind == "bias" and part.stem == parts[x].stem
        for x in ends[1][:-1]
        for part in parts.values()
    ):
        first = ends[0][0] if len(ends[0]) == 1 else tuple(ends[0])
        yield {"W_in": first, "W_out": tuple(ends[1])}


def _with_biases(
    way: dict[str, Any], shapes: Mapping[str, tuple[int, ...]], parts: Mapping[str, Name]
) -> Iterator[dict[str, Any]]:
    """Biases of the layers by their names, or by their lengths, the longer first."""
    vectors = {
        x: int(np.prod(s)) for x, s in shapes.items() if len(s) == 1 or (len(s) == 2 and 1 in s)
    }
    own = {}
    for role, matrix in (("b_in", "W_in"), ("b", "W_out")):
        names = way.get(matrix, ())
        names = (names,) if isinstance(names, str) else names
        some = [x for name in names for x in vectors if parts[x] == Name(parts[name].stem, "bias")]
        if some and (len(some) == len(names) or role == "b"):
            own[role] = some[-1] if role == "b" or len(some) == 1 else tuple(some)
    name = way["W" if "W" in way else "W_in"]
    first = name if isinstance(name, str) else name[0]
    sizes = sorted(set(shapes[first]), reverse=True)
    likely = sorted(vectors, key=lambda x: (not may_be_bias(parts[x]), "b" not in parts[x].stem))
    for n in sizes:
        rest = [x for x in likely if x not in own.values() and may_be_bias(parts[x])]
        fits = [x for x in rest if vectors[x] == n]
        if "b" in own or fits:
            yield way | {"b": fits[0]} | own if fits else way | own
    yield way | own

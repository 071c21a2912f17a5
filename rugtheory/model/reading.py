"""Reading the weights of a trained model from a file, a mapping or a module."""

from __future__ import annotations

import fnmatch
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal, overload

import numpy as np

from .. import _check
from .._check import Array
from .layout import Layout, Names, lay_out, proposals
from .model import Model
from .parametrised import unknown_parts
from .roles import ROLES, Choice, Unclear
from .state import State, read_state

_MOST_TRIED = 40


class UnclearWeights(ValueError):
    """What cannot be read as a model.

    Attributes
    ----------
    problem : str
        The message without the remedy.
    names, ignore
        Arguments with which `read_weights` would read it; empty if there are none.
    """

    def __init__(self, problem: str, names: Names, ignore: tuple[str, ...]) -> None:
        self.problem, self.names, self.ignore = problem, names, ignore
        more = f", ignore={ignore!r}" if ignore else ""
        remedy = f"; it would be read with names={dict(names)!r}{more}" if names else ""
        super().__init__(problem + remedy)


@overload
def read_weights(
    x: Any,
    *,
    names: Names | None = None,
    ignore: str | Sequence[str] = (),
    instance: int | None = None,
) -> Model: ...


@overload
def read_weights(
    x: Any,
    *,
    names: Names | None = None,
    ignore: str | Sequence[str] = (),
    instance: Literal["all"],
) -> list[Model]: ...


def read_weights(
    x: Any,
    *,
    names: Names | None = None,
    ignore: str | Sequence[str] = (),
    instance: int | str | None = None,
) -> Model | list[Model]:
    """Weights of a model from a file, a state dict, a module or a single matrix.

    Parameters
    ----------
    x : path, mapping, torch.nn.Module or matrix
        A file that ends in `.safetensors`, `.npz`, `.npy`, or `.pt`, `.pth`, `.bin`, `.ckpt`,
        `.tar`; the last five are read with ``torch.load(weights_only=True)``, which runs no code
        from the file.  A mapping of names to arrays or tensors; a module of PyTorch; or one matrix,
        such as an `nn.Parameter`, for tied weights.
    names : mapping, optional
        Names in `x` of "W_in", "W_out", "W" (for tied weights), "b" or "b_in", as many as names and
        shapes do not tell.  A sequence of names for W_in or W_out is a product of linear layers, in
        the order in which they are applied; b_in may then name as many biases.  A name that ends in
        ".T" is a matrix to be transposed.
    ignore : str or sequence of str
        Names in `x` to be passed over; ``*`` stands for anything.
    instance : int or "all", optional
        Which of many models to take from arrays with an axis of instances in front; "all" for a
        list of them.  An axis of length 1 is dropped.

    Returns
    -------
    Model, or list of Model
        A list for ``instance="all"``.

    Raises
    ------
    ValueError
        If what is held cannot be read as a model, or holds anything that is not used.  The message
        lists all names and shapes, and `names` that would work if there are any.
    TypeError
        If `x` is none of the above.
    ImportError
        Without the package that reads the format.

    Warns
    -----
    UserWarning
        What was taken for what, if shapes decided or there is no bias, what was passed over
        beside a state dict, and what was made from the parts of weight_norm, spectral_norm or
        pruning of PyTorch.

    Notes
    -----
    A model is x̂ = ReLU(W_out W_in x + b).  State dicts are looked for in `state_dict`,
    `model_state_dict` and `model`; the prefixes `model.`, `module.` and `_orig_mod.`, and any other
    that all names share, are passed over.  Known are pairs of names such as W_in, W_out;
    encoder, decoder; W_enc, W_dec; initial_layer, final_layer; linear1, linear2; the 0 and 2 of a
    Sequential; or a single W if weights are tied, W_out = W_inᵀ.  The bias of the outputs is b,
    b_dec, b_final or that of the second layer; without any it is 0.  A bias of the hidden units,
    b_in, b_enc or that of the first layer, is folded in: the `b` returned is b + W_out b_in.

    The length of the bias is n_sparse, which shows what is a row and what a column; without a bias
    n_sparse is the longer axis.  Layers of PyTorch have shape (outputs, inputs) whatever their
    lengths.  A file does not say what is done between two layers: hidden units are taken to be
    linear, except that layers with more hidden units than features, as in a sparse autoencoder, are
    an error unless `names` gives them.  A module is run on a few features and is an error if it
    does anything else; its activation is found in this way. Texts `activation` and `hidden_noise`
    in the metadata of a safetensors file are those of the model, as `Model.save` writes them.  The
    `rows` of a rug saved by `Rug.save` are passed over.

    Examples
    --------
    >>> import numpy as np
    >>> import rugtheory as rt
    >>> encoder, decoder = np.ones((2, 5)), np.ones((5, 2))
    >>> rt.read_weights({"encoder": encoder, "decoder": decoder, "b_dec": np.zeros(5)})
    Model(n_sparse=5, n_dense=2)
    >>> many = {"W": np.ones((8, 2, 5)), "b_final": np.zeros((8, 5))}
    >>> len(rt.read_weights(many, instance="all"))
    8
    """
    given = _choices(names)
    if isinstance(instance, bool) or not (
        instance is None or isinstance(instance, int | np.integer)
    ):
        if not isinstance(instance, str) or instance != "all":
            raise ValueError(
                f'instance must be None, an integer or "all", got {_check.shown(instance)}'
            )
    patterns = _patterns(ignore)
    state = _whole(read_state(x), given, patterns)
    state = state.without(_ignored(state, patterns))
    for name in (name for choice in given.values() for name in choice.names):
        if name not in state.tensors:
            raise ValueError(
                f"names must be of what {state.where} holds, "
                f"got {_check.shown(name)}, not of {state.listing()}"
            )
    module = x if hasattr(x, "parameters") and hasattr(x, "state_dict") else None
    found, activation, guessed = _laid_out(state, given, module)
    models = _models(state, found, instance, activation)
    beside = f"; beside it, passed over: {', '.join(state.beside)}" if state.beside else ""
    made = f"; {'; '.join(state.made)}" if state.made else ""
    if found.guessed or guessed or beside or made:
        said = f"{state.where} was read as {found.said}{made}{beside}{guessed}"
        warnings.warn(said, stacklevel=2)
    return models


def _whole(state: State, given: Mapping[str, Choice], patterns: tuple[str, ...]) -> State:
    """With tensors in parts put together, unless such a part is named."""
    whole = state.whole()
    asked = {name for choice in given.values() for name in choice.names} | set(patterns)
    if asked & (set(state.tensors) - set(whole.tensors)):
        return state
    if (parts := unknown_parts(whole.tensors)) and not asked:
        raise ValueError(
            f"{state.where}: {', '.join(parts)} are parts of a weight that only the module tells; "
            "give the module, or save it after torch.nn.utils.parametrize.remove_parametrizations"
        )
    return whole


def _choices(names: Names | None) -> dict[str, Choice]:
    """What `names` gives, checked."""
    if names is None:
        return {}
    if not isinstance(names, Mapping):
        raise TypeError(f"names must map {', '.join(ROLES)} to names, got {_check.shown(names)}")
    if "W" in names and ("W_in" in names or "W_out" in names):
        raise ValueError(
            f"names must have W, for tied weights, or W_in and W_out, got {_check.shown(names)}"
        )
    found = {}
    for role, value in names.items():
        if role not in ROLES:
            raise ValueError(f"names must be of {', '.join(ROLES)}, got {_check.shown(role)}")
        some = (value,) if isinstance(value, str) else tuple(value) if _is_list(value) else ()
        if not some or not all(isinstance(name, str) for name in some):
            raise TypeError(
                f"names must give a name, or several, for {role}, got {_check.shown(value)}"
            )
        if len(some) > 1 and role in ("W", "b"):
            raise ValueError(f"names must give one name for {role}, got {_check.shown(value)}")
        turned = tuple(name.endswith(".T") for name in some)
        found[role] = Choice(tuple(x.removesuffix(".T") for x in some), turned, "given")
    return found


def _is_list(value: Any) -> bool:
    return isinstance(value, tuple | list)


def _patterns(ignore: str | Sequence[str]) -> tuple[str, ...]:
    some = (ignore,) if isinstance(ignore, str) else ignore
    if not _is_list(some) or not all(isinstance(pattern, str) for pattern in some):
        raise TypeError(f"ignore must be a name or a sequence of names, got {_check.shown(ignore)}")
    return tuple(some)


def _ignored(state: State, patterns: tuple[str, ...]) -> tuple[str, ...]:
    passed: list[str] = []
    for pattern in patterns:
        fits = [x for x in state.tensors if x == pattern or fnmatch.fnmatchcase(x, pattern)]
        if not fits:
            raise ValueError(
                f"ignore must name what {state.where} holds, got {_check.shown(pattern)}, not of "
                f"{state.listing()}"
            )
        passed += fits
    return tuple(passed)


def _laid_out(
    state: State, given: Mapping[str, Choice], module: Any
) -> tuple[Layout, str | None, str]:
    """The weights, the activation of a module, and what is to be said of how they were found."""
    try:
        found = lay_out(state, given)
    except Unclear as error:
        problem = f"{state.where}: {error}; got {state.listing()}"
        for names, ignore in _few(proposals(state)):
            try:
                found = lay_out(state.without(ignore), _choices(names))
            except ValueError:
                continue
            if module is None or given:
                raise UnclearWeights(problem, names, ignore) from None
            if not ignore and _activation(module, found) in ("relu", "identity"):
                return found, _activation(module, found), ", which is what it computes"
        raise UnclearWeights(problem, {}, ()) from None
    if module is None:
        return found, None, ""
    activation = _activation(module, found)
    if activation == "other":
        raise ValueError(
            f"x must compute ReLU(W_out W_in x + b) or W_out W_in x + b, and with {found.said} it "
            f"does not, got {type(module).__name__}; its state_dict() is read without running it"
        )
    return found, activation, "" if activation else "; it was not run, so its activation is unknown"


def _few(ways: Any) -> Any:
    return (way for _, way in zip(range(_MOST_TRIED), ways, strict=False))


def _activation(module: Any, found: Layout) -> str | None:
    from .comparing import activation_of

    return activation_of(module, found.w_in, found.w_out, _bias(found), found.instances)


def _bias(found: Layout) -> Array:
    """The bias of the outputs with that of the hidden units folded in."""
    total = np.zeros(found.w_in.shape[-1]) if found.b is None else found.b
    total = total + np.zeros(found.w_in.shape[-1]) if total.size == 1 else total
    if found.b_in is not None:
        total = total + np.einsum("...nm,...m->...n", found.w_out, found.b_in)
    return np.asarray(total)


def _models(
    state: State, found: Layout, instance: int | str | None, activation: str | None
) -> Model | list[Model]:
    count, bias = found.instances, _bias(found)
    settings = _settings(state)
    if activation is not None:
        settings["activation"] = activation

    def model(k: int) -> Model:
        def own(x: Array, rank: int) -> Array:
            return x[k] if x.ndim > rank else x

        try:
            return Model(own(found.w_in, 2), own(found.w_out, 2), own(bias, 1), **settings)
        except ValueError as error:
            raise ValueError(f"{state.where}: {error}") from None

    if count is None and instance is not None:
        raise ValueError(f"instance must be None, as there is no axis of instances, got {instance}")
    if instance is None and count in (None, 1):
        return model(0)
    assert count is not None
    if instance == "all":
        return [model(k) for k in range(count)]
    if instance is None or not 0 <= int(instance) < count:
        raise ValueError(
            f'instance must be in [0, {count - 1}] (in Python "all" too) for the {count} instances '
            f"in {state.where}, which holds {state.listing()}, got {instance}"
        )
    return model(int(instance))


def _settings(state: State) -> dict[str, Any]:
    """What `Model.save` writes beside the tensors."""
    found: dict[str, Any] = {}
    if "activation" in state.metadata:
        found["activation"] = state.metadata["activation"]
    if "hidden_noise" in state.metadata:
        text = state.metadata["hidden_noise"]
        try:
            found["hidden_noise"] = float(text)
        except ValueError:
            raise ValueError(
                f"{state.where}: hidden_noise must be a number, got {_check.shown(text)}"
            ) from None
    return found

"""Laws of features as TOML files."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from .. import _check
from .._files import replacing
from .amplitude import Amplitude
from .features import Features, check_features
from .groups import Exclusive, Groups, Parent, Together
from .identical import Identical
from .independent import Independent
from .latent import Latent
from .laws import law_from, law_to
from .saelens import CONFIG, read_saelens
from .sparse import SparseSource

_FEATURES: dict[str, type] = {
    "identical": Identical,
    "independent": Independent,
    "groups": Groups,
    "latent": Latent,
}
_GROUPS: dict[str, type] = {
    "together": Together,
    "exclusive": Exclusive,
    "parent": Parent,
    "feature": SparseSource,
}


def read_features(path: str | Path) -> Features:
    """The law of features in a TOML file.

    Parameters
    ----------
    path : str or Path
        The file has `kind`, one of "identical", "independent", "groups" and "latent", and the
        parameters of that class by name.  An amplitude law is a text such as "uniform:0,1" or a
        table with `nodes` and `weights`, or a list of these.  Groups are tables with a `kind` of
        "together", "exclusive", "parent" or "feature".

        Or the folder of a synthetic model that SAELens saved, with `synthetic_model_config.json`:
        firing probabilities, constant magnitudes, hierarchies and exclusion are read; magnitudes
        that vary, correlations and what is not known are refused by name.

    Returns
    -------
    Features

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no TOML, lacks a key, or has one that is not understood or a value out of range.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import rugtheory as rt
    >>> text = '''
    ... kind = "groups"
    ... importance = [1.0, 0.9, 0.8]
    ... groups = [
    ...     { kind = "exclusive", p = [0.1, 0.2] },
    ...     { kind = "feature", p = 0.3, amplitude = "constant:1" },
    ... ]
    ... '''
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "features.toml"
    ...     _ = file.write_text(text)
    ...     features = rt.read_features(file)
    >>> features.on_probability
    array([0.1, 0.2, 0.3])
    """
    path = _check.path("path", path)
    if (path / CONFIG).is_file():
        try:
            return read_saelens(path)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from None
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        return features_of(path.read_bytes().decode("utf-8"))
    except UnicodeDecodeError:
        raise ValueError(f"{path} must be TOML, got a file that is not text") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def features_of(text: str) -> Features:
    """The law of features in a text of TOML; ValueError as of `read_features`."""
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"cannot be read as TOML: {error}") from error
    try:
        found = _made(values, _FEATURES)
    except TypeError as error:
        raise ValueError(str(error)) from None
    assert isinstance(found, Features)
    return found


def save_features(features: Features, path: str | Path) -> None:
    """Write a law of features as the TOML that `read_features` reads; a file there is replaced.

    Raises TypeError for a class, or an amplitude law, that is not of the package.
    """
    text, path = text_of(features), _check.path("path", path)
    with replacing(path) as temporary:
        temporary.write_text(text, "utf-8")


def text_of(features: Features) -> str:
    """The TOML of a law of features."""
    check_features(features)
    table = _table(features, _FEATURES)
    return "".join(f"{key} = {_text(value)}\n" for key, value in table.items())


def _made(values: Any, kinds: Mapping[str, type]) -> Any:
    """The object that a table describes."""
    if not isinstance(values, Mapping):
        raise ValueError(f"a table with a kind is needed, got {_check.shown(values)}")
    given = dict(values)
    name = given.pop("kind", None)
    if not isinstance(name, str) or name not in kinds:
        raise ValueError(f"kind must be one of {', '.join(kinds)}, got {_check.shown(name)}")
    known = [field.name for field in fields(kinds[name])]
    for key in given:
        if key not in known:
            raise ValueError(f"{name} has {', '.join(known)}, got {key}")
    try:
        return kinds[name](**{key: _value(key, x) for key, x in given.items()})
    except TypeError as error:
        if "missing" in str(error):
            raise ValueError(f"{name} needs {', '.join(known)}, got {', '.join(given)}") from None
        raise


def _value(key: str, value: Any) -> Any:
    if key == "amplitude":
        several = isinstance(value, list)
        try:
            return [law_from(x) for x in value] if several else law_from(value)
        except (TypeError, ValueError) as error:
            raise ValueError(f"amplitude {error}") from None
    if key in ("groups", "children"):
        if not isinstance(value, list):
            raise ValueError(f"{key} must be a list of tables, got {_check.shown(value)}")
        return [_made(x, _GROUPS) for x in value]
    return value


def _table(thing: Any, kinds: Mapping[str, type]) -> dict[str, Any]:
    """What `_made` reads."""
    for name, kind in kinds.items():
        if type(thing) is kind:
            names = [field.name for field in fields(kind)]
            return {"kind": name} | {key: _plain(getattr(thing, key)) for key in names}
    raise TypeError(
        f"features must be of {', '.join(kinds)} to be written, got {_check.shown(thing)}"
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Amplitude):
        return law_to(value)
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(x) for x in value]
    if isinstance(value, bool | int | float):
        return value
    return _table(value, _GROUPS)


def _text(value: Any) -> str:
    """A value as TOML on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_text(x)}' for key, x in value.items())} }}"
    return repr(value)

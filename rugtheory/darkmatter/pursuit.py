r"""Sparse codes by greedy search in a frozen dictionary: a better encoder for given decoders.

Gradient pursuit (Blumensath and Davies, 2008), as used in section 7.1 of arXiv:2410.14670.  With
residual r = x - Dᵀw, each step adds to the support the atom of greatest inner product with r, and
moves the weights on the support along g = (D r) restricted to it,

.. math:: w \leftarrow w + \alpha g, \qquad c = D^\top g, \qquad
    \alpha = \frac{\langle c, r\rangle}{\|c\|^2} = \frac{\|g\|^2}{\|c\|^2},

which is the α that leaves the least residual.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check
from ._rows import Rows

if TYPE_CHECKING:
    from scipy import sparse

# Inner products of a block of rows with all atoms: 32 MB in float32.
_BLOCK_VALUES = 2**23

Floats = NDArray[np.floating[Any]]
Indices = NDArray[np.int64]


def gradient_pursuit(
    x: Any,
    dictionary: ArrayLike,
    l0: ArrayLike,
    *,
    exact: bool = True,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> sparse.csr_array:
    """Non-negative codes w of the rows of `x`, at most `l0` atoms each, with x ≈ w @ dictionary.

    Parameters
    ----------
    x : array_like or sliceable, shape (rows, d)
        For an SAE, activations minus its decoder bias.  Read in blocks.
    dictionary : array_like, shape (n_atoms, d)
        Atoms, one a row, of any norm: the decoder matrix of an SAE.
    l0 : int or array_like of int, shape (rows,)
        Atoms to use, for all rows or for each: the paper takes the L0 that the SAE had.
    exact : bool
        False is the authors' search; True, the default, never picks an atom twice and stays on
        the non-negative side by shortening steps.  See Notes.
    progress : callable
        Wraps the iterable of blocks, to show progress.

    Returns
    -------
    scipy.sparse.csr_array, shape (rows, n_atoms)
        Float32 if `dictionary` is float32 or shorter, and then so is the computation; else float64.

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, a value is not finite, or `l0` is not in [0, n_atoms].

    Notes
    -----
    The authors' search takes `l0` steps.  The support of a step is the weights that are not zero
    and the atom picked, which may be one of them, and negative weights become zero after the step.
    So a row can end with fewer atoms than asked for, and clipping can increase its residual.  At
    a residual of zero their step is 0/0; here the row ends with the weights it has.

    With `exact`, a pick is always new, and a step that would make a weight negative ends where the
    weight is zero and drops that atom, so the residual never increases.  Where no further atom has
    an inner product with the residual above d eps ‖x‖‖atom‖, the step is on the support alone.  A
    row ends with `l0` atoms; with fewer if that is the best that non-negative codes can do, to the
    same precision, or after 16 l0 steps.

    Each step takes 2 d n_atoms operations a row, in one matrix product for a block of rows.

    Examples
    --------
    >>> import numpy as np
    >>> from rugtheory import darkmatter
    >>> codes = darkmatter.gradient_pursuit([[3, 0, 1], [0, 0, 0]], np.eye(3), 2)
    >>> codes.toarray().tolist()
    [[3.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    """
    from scipy import sparse

    atoms = _atoms(dictionary)
    rows = _rows(x, atoms)
    target = _target(l0, rows.count, len(atoms))
    search = _exact if _check.boolean("exact", exact) else _authors
    _check.function("progress", progress)
    # Powers of two bring the largest values to about 1, or squares of small ones were zero.
    _, atom_exponent = np.frexp(np.abs(atoms).max())
    atoms = np.ldexp(atoms, -atom_exponent)
    length = max(1, _BLOCK_VALUES // len(atoms))
    parts = []
    for start in progress(range(0, rows.count, length)):
        stop = min(start + length, rows.count)
        block = rows.read(np.arange(start, stop)).astype(np.float64)
        _, exponent = np.frexp(np.abs(block).max(axis=1, keepdims=True))
        scaled = np.ldexp(block, -exponent).astype(atoms.dtype)
        indices, weights = search(scaled, atoms, target[start:stop])
        parts.append(_csr(indices, np.ldexp(weights, exponent - atom_exponent), len(atoms)))
    return sparse.csr_array(sparse.vstack(parts, format="csr"))


def orthogonal_matching_pursuit(x: Any, dictionary: ArrayLike, l0: ArrayLike) -> sparse.csr_array:
    """Codes of either sign by scikit-learn's orthogonal matching pursuit, the usual reference.

    Each step adds the atom whose inner product with the residual is greatest in size, and fits all
    weights anew by least squares.

    Parameters, errors and shapes are those of `gradient_pursuit`; the result is float64, as are
    the inner products of all atoms, n_atoms² values.  Atoms are brought to norm 1 for the search.

    Raises
    ------
    ImportError
        Without scikit-learn, which only this function needs.

    Examples
    --------
    >>> import numpy as np
    >>> from rugtheory import darkmatter
    >>> codes = darkmatter.orthogonal_matching_pursuit([[3, 0, -1]], np.eye(3), 2)
    >>> codes.toarray().tolist()
    [[3.0, 0.0, -1.0]]
    """
    from scipy import sparse
    from sklearn.linear_model import orthogonal_mp_gram

    atoms = _atoms(dictionary).astype(np.float64)
    rows = _rows(x, atoms)
    target = _target(l0, rows.count, len(atoms))
    norms = np.linalg.norm(atoms, axis=1)
    used = np.flatnonzero(norms)
    unit = atoms[used] / norms[used, None]
    gram = unit @ unit.T
    parts = []
    length = max(1, _BLOCK_VALUES // len(atoms))
    for start in range(0, rows.count, length):
        stop = min(start + length, rows.count)
        block = rows.read(np.arange(start, stop)).astype(np.float64)
        products = unit @ block.T
        wanted = np.where(block.any(axis=1), np.minimum(target[start:stop], used.size), 0)
        codes = np.zeros((stop - start, len(atoms)))
        for n in np.unique(wanted[wanted > 0]):
            here = np.flatnonzero(wanted == n)
            with warnings.catch_warnings():
                # It warns of rows that fewer atoms explain; they have their codes all the same.
                warnings.simplefilter("ignore", RuntimeWarning)
                found = orthogonal_mp_gram(gram, products[:, here], n_nonzero_coefs=int(n))
            codes[np.ix_(here, used)] = found.reshape(used.size, -1).T / norms[used]
        parts.append(sparse.csr_array(codes))
    return sparse.csr_array(sparse.vstack(parts, format="csr"))


def _exact(x: Floats, atoms: Floats, target: Indices) -> tuple[Indices, Floats]:
    """Atoms and weights of every row, of shape (rows, greatest target); unused weights are 0."""
    indices, weights = _empty(x, target)
    # Below it, an inner product is rounding.
    floor = atoms.shape[1] * np.finfo(x.dtype).eps * np.linalg.norm(x, axis=1)
    norms = np.linalg.norm(atoms, axis=1)
    limit = 16 * target
    live = np.flatnonzero(target)
    residual = x[live]
    for step in range(int(limit.max(initial=0))):
        inner = residual @ atoms.T
        held = weights[live] > 0
        on_support = np.take_along_axis(inner, indices[live], axis=1)
        row, slot = np.nonzero(held)
        inner[row, indices[live[row], slot]] = -np.inf
        pick = np.argmax(inner, axis=1)
        best = np.take_along_axis(inner, pick[:, None], axis=1)[:, 0]

        gradient = np.where(held, on_support, 0)
        adds = best > floor[live] * norms[pick]
        moves = np.any(np.abs(gradient) > floor[live, None] * norms[indices[live]], axis=1)
        # A free slot exists: rows with as many atoms as wanted are not live.
        free = np.argmin(held, axis=1)
        indices[live[adds], free[adds]] = pick[adds]
        gradient[adds, free[adds]] = best[adds]
        going = adds | moves
        live, residual, gradient = live[going], residual[going], gradient[going]
        adds, free = adds[going], free[going]

        weights[live], change = _step(weights[live], gradient, indices[live], atoms)
        residual -= change
        unfinished = (
            (np.count_nonzero(weights[live], axis=1) < target[live])
            & (step + 1 < limit[live])
            & ((weights[live, free] > 0) | ~adds)
        )
        live, residual = live[unfinished], residual[unfinished]
    return indices, weights


def _step(
    weights: Floats, gradient: Floats, indices: Indices, atoms: Floats
) -> tuple[Floats, Floats]:
    """Weights after the best step along `gradient` that keeps them non-negative, and Dᵀ Δw."""
    change = _csr(indices, gradient, len(atoms)) @ atoms
    length = np.einsum("ij,ij->i", change, change)
    size = np.zeros_like(length)
    # Zero only by underflow.
    np.divide(np.einsum("ij,ij->i", gradient, gradient), length, out=size, where=length > 0)
    falling = gradient < 0
    room = np.full_like(gradient, np.inf)
    np.divide(weights, -gradient, out=room, where=falling)
    first = room.min(axis=1)
    size = np.minimum(size, first)[:, None]
    after = np.maximum(weights + size * gradient, 0)
    after[falling & (room <= size)] = 0
    return after, size * change


def _authors(x: Floats, atoms: Floats, target: Indices) -> tuple[Indices, Floats]:
    """The same as `_exact` by the authors' search."""
    indices, weights = _empty(x, target)
    live = np.flatnonzero(target)
    for step in range(int(target.max(initial=0))):
        live = live[target[live] > step]
        residual = x[live] - _csr(indices[live], weights[live], len(atoms)) @ atoms
        inner = residual @ atoms.T
        pick = np.argmax(inner, axis=1)
        held = weights[live] != 0
        again = held & (indices[live] == pick[:, None])
        new = ~again.any(axis=1)
        free = np.argmin(held, axis=1)
        indices[live[new], free[new]] = pick[new]
        held[new, free[new]] = True
        gradient = np.where(held, np.take_along_axis(inner, indices[live], axis=1), 0)

        change = _csr(indices[live], gradient, len(atoms)) @ atoms
        length = np.einsum("ij,ij->i", change, change)
        going = length > 0
        live, gradient = live[going], gradient[going]
        size = np.einsum("ij,ij->i", change, residual)[going] / length[going]
        weights[live] = np.maximum(weights[live] + size[:, None] * gradient, 0)
    return indices, weights


def _empty(x: Floats, target: Indices) -> tuple[Indices, Floats]:
    shape = len(x), int(target.max(initial=0))
    return np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=x.dtype)


def _csr(indices: Indices, weights: Floats, n_atoms: int) -> sparse.csr_array:
    """The weights that are not zero as a sparse matrix, atoms ascending."""
    from scipy import sparse

    row, slot = np.nonzero(weights)
    starts = np.concatenate([[0], np.cumsum(np.count_nonzero(weights, axis=1))])
    matrix = sparse.csr_array(
        (weights[row, slot], indices[row, slot], starts), shape=(len(weights), n_atoms)
    )
    matrix.sort_indices()
    return matrix


def _atoms(dictionary: ArrayLike) -> Floats:
    atoms = _check.real("dictionary", dictionary)
    dtype = np.asarray(dictionary).dtype
    short = dtype.kind == "f" and dtype.itemsize <= 4
    if atoms.ndim != 2 or not atoms.size:
        raise ValueError(f"dictionary must have shape (n_atoms, d), got {atoms.shape}")
    return atoms.astype(np.float32) if short else atoms


def _rows(x: Any, atoms: Floats) -> Rows:
    rows = Rows("x", x)
    if rows.columns != atoms.shape[1]:
        raise ValueError(
            f"x must have as many columns as dictionary, {atoms.shape[1]}, got {rows.columns}"
        )
    return rows


def _target(l0: ArrayLike, count: int, n_atoms: int) -> Indices:
    array = _check.array("l0", l0)
    if array.dtype.kind not in "iu":
        raise TypeError(f"l0 must be an integer or integers, got dtype {array.dtype}")
    if array.shape not in ((), (count,)):
        raise ValueError(f"l0 must be a scalar or have shape ({count},), got {array.shape}")
    if array.min() < 0 or array.max() > n_atoms:
        wrong = array.min() if array.min() < 0 else array.max()
        raise ValueError(f"l0 must be in [0, {n_atoms}], the number of atoms, got {wrong}")
    return np.broadcast_to(array.astype(np.int64), (count,))

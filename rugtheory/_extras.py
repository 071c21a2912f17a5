"""Which extra holds a package that is missing."""

from __future__ import annotations

# The first extra of pyproject.toml that has the package, by the name it is imported by.
EXTRAS = {
    "matplotlib": "plot",
    "mpl_toolkits": "plot",
    "xarray": "sweep",
    "pandas": "sweep",
    "h5netcdf": "sweep",
    "h5py": "sweep",
    "tqdm": "sweep",
    "safetensors": "sweep",
    "dask": "sweep",
    "distributed": "sweep",
    "torch": "validation",
    "sklearn": "pursuit",
    "transformers": "activations",
    "mpmath": "oracle",
}


def remedy(error: ImportError) -> str:
    """What to install, in a line, with the extra that holds what is missing."""
    extra = EXTRAS.get((error.name or "").partition(".")[0])
    if extra is None:
        return str(error)
    return (
        f"{error}; install it with: pip install 'rugtheory[{extra}]', or in a clone of the "
        f"repository: pip install -e '.[{extra}]'"
    )

"""What is made once a session, whatever the number of workers of pytest-xdist."""

import os
import pickle

from filelock import FileLock


def once(factory, name, make):
    """``make(folder)``, of which the value is pickled; `factory` is pytest's tmp_path_factory.

    Workers have folders of their own in one that is theirs together: the first of them makes it,
    and the others read what it wrote.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return make(factory.mktemp(name))
    folder = factory.getbasetemp().parent / name
    kept = folder.with_suffix(".pickle")
    with FileLock(folder.with_suffix(".lock")):
        if not kept.exists():
            folder.mkdir()
            value = make(folder)
            kept.write_bytes(pickle.dumps(value))
        return pickle.loads(kept.read_bytes())

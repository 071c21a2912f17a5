"""``python -m rugtheory`` is the command `rugtheory`."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())

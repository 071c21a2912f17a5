"""``python -m validation``: train toy models and compare them with the theory."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())

"""Draw the figures of dark_matter_validation.md from the kept results, beside this file."""

import json
from pathlib import Path

from rugtheory._style import save
from rugtheory.darkmatter.report import figures

HERE = Path(__file__).parent
KEPT = HERE.parent / "validation" / "data" / "darkmatter.json"


def main() -> None:
    found = json.loads(KEPT.read_text(encoding="utf-8"))["layer_3"]

    def breakdown(figure):
        for ax, group in zip(figure.subplots(2, 2).ravel(), found["groups"], strict=True):
            figures.draw_breakdown(found, group["name"], ax)

    save(HERE / "dark_matter_breakdown.png", breakdown, (10, 7.6), dpi=90)
    save(
        HERE / "dark_matter_norm_test.png",
        lambda figure: figures.draw_norm_test(found, figure.subplots()),
        (7, 4.2),
        dpi=90,
    )


if __name__ == "__main__":
    main()

"""The files of a generated text. Imports no torch."""

from __future__ import annotations

from pathlib import Path

ENDINGS = {"image": ".png", "large_image": "-large.png", "film_strip": "-film.png", "animation": ".gif"}


def picture_files(folder: Path, seed: int) -> dict[str, Path]:
    """Return the path of each picture of a text: `image` (exact), `large_image`, `film_strip`, and `animation`."""
    return {name: folder / f"seed-{seed}{ending}" for name, ending in ENDINGS.items()}

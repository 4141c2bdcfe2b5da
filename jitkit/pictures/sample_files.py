"""A generated text as files: its picture, and its film strip."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

from jitkit.pictures.animation import gif_bytes
from jitkit.pictures.film_strip import film_strip
from jitkit.pictures.fonts import glyphs_missing, load_font
from jitkit.pictures.recorder import Snapshot, frames_of
from jitkit.pipeline import Generated, Pipeline
from jitkit.storage.atomic import atomic_write, make_folder
from jitkit.storage.png import png_bytes

NUM_FRAMES = 6
NUM_MOVING = 48  # frames of an animation


def write_pictures(
    pipeline: Pipeline,
    results: Sequence[Generated],
    snapshots: Sequence[Snapshot],
    folder: Path,
    *,
    font_file: Path | None = None,
    animated: bool = False,
    warn: Callable[[str], None],
) -> list[dict[str, str]]:
    """Write ``seed-N.png`` (the text as a picture, exact) and ``seed-N-film.png`` for each text of one batch.

    With `animated`, also ``seed-N.gif``. Returns the paths of each: `image`, `film_strip`, `animation`. Letters that no font can draw are counted through `warn`. Raises
    ResourceError when the folder cannot be written, InputError for a font file that is none.
    """
    make_folder(folder)
    paths = []
    for index, result in enumerate(results):
        frames = frames_of(snapshots, index, NUM_FRAMES, pipeline)
        font = load_font((frame.text for frame in frames), font_file)
        if missing := glyphs_missing("".join(frame.text for frame in frames), font):
            warn(f"seed {result.seed}: no font found for {len(missing)} of its letters; --font FILE gives one")
        strip = io.BytesIO()
        film_strip(frames, font).save(strip, "PNG")
        picture = pipeline.codec.encode_bytes(result.tokens[None])[0]
        image, film = folder / f"seed-{result.seed}.png", folder / f"seed-{result.seed}-film.png"
        for path, content in ((image, png_bytes(picture)), (film, strip.getvalue())):
            with atomic_write(path) as file:
                file.write(content)
        paths.append({"image": str(image), "film_strip": str(film)})
        if animated:
            moving = folder / f"seed-{result.seed}.gif"
            with atomic_write(moving) as file:
                file.write(gif_bytes(frames_of(snapshots, index, NUM_MOVING, pipeline), font))
            paths[-1]["animation"] = str(moving)
    return paths

"""Write generated texts as pictures, film strips, and animations."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

from jitkit.errors import counted
from jitkit.generated import Generated
from jitkit.pictures.film_strip import film_strip, gif_bytes, glyphs_missing, load_font
from jitkit.pictures.recorder import Snapshot, frames_of
from jitkit.pipeline import Pipeline
from jitkit.storage.atomic import make_folder, write_file

NUM_FRAMES, NUM_ANIMATION_FRAMES = 6, 48


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
    """Write ``seed-N.png`` (the exact token image), ``seed-N-film.png``, and if `animated` ``seed-N.gif`` per text.

    Returns the paths of each text: `image`, `film_strip`, and `animation`. `warn` gets a message about letters that the
    font lacks. Raises ResourceError if `folder` cannot be written, InputError for an invalid font file.
    """
    make_folder(folder)
    paths = []
    for index, result in enumerate(results):
        frames = frames_of(snapshots, index, NUM_FRAMES, pipeline)
        font = load_font((frame.text for frame in frames), font_file)
        if missing := glyphs_missing("".join(frame.text for frame in frames), font):
            warn(
                f"seed {result.seed}: the font lacks {counted(len(missing), 'letter')}; choose another with --font FILE"
            )
        strip = io.BytesIO()
        film_strip(frames, font).save(strip, "PNG")
        files = {"image": (".png", result.picture.png()), "film_strip": ("-film.png", strip.getvalue())}
        if animated:
            files["animation"] = (".gif", gif_bytes(frames_of(snapshots, index, NUM_ANIMATION_FRAMES, pipeline), font))
        paths.append({name: str(folder / f"seed-{result.seed}{ending}") for name, (ending, _) in files.items()})
        for ending, data in files.values():
            write_file(folder / f"seed-{result.seed}{ending}", data)
    return paths

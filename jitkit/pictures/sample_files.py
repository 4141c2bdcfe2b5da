"""Write generated texts as pictures, film strips, and animations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from jitkit.errors import counted
from jitkit.generated import Generated
from jitkit.pictures.animation import gif_bytes
from jitkit.pictures.file_names import picture_files
from jitkit.pictures.film_strip import strip_png
from jitkit.pictures.recorder import Snapshot, frames_of
from jitkit.pictures.text_lines import glyphs_missing, load_font
from jitkit.pipeline import Pipeline
from jitkit.storage.atomic import delete, make_folder, write_file, writing

NUM_FRAMES, NUM_ANIMATION_FRAMES = 6, 24


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
    """Write ``seed-N.png`` (the exact token image), the same enlarged, a film strip, and if `animated` a GIF per text.

    Earlier pictures of these seeds are replaced. Returns the paths of each text, as `picture_files` does. `warn` gets a
    message about letters that the font lacks. Raises ResourceError if `folder` cannot be written, InputError for an
    invalid font file.
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
        contents = {"image": result.picture.png(), "large_image": result.picture.visible().png()}
        contents["film_strip"] = strip_png(frames, font)
        if animated:
            contents["animation"] = gif_bytes(frames_of(snapshots, index, NUM_ANIMATION_FRAMES, pipeline), font)
        paths.append(_write(picture_files(folder, result.seed), contents))
    return paths


def _write(files: Mapping[str, Path], contents: Mapping[str, bytes]) -> dict[str, str]:
    """Write the pictures of a text and return their paths. Outdated ones of an earlier command are deleted."""
    for name in files.keys() - contents.keys():
        with writing(files[name]):
            delete(files[name])
    for name, content in contents.items():
        write_file(files[name], content)
    return {name: str(files[name]) for name in contents}

"""Recording and drawing sampling trajectories."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from jitkit.codecs.image_codec import to_pictures
from jitkit.errors import InputError
from jitkit.pictures.film_strip import EDGE, GAP, MIN_CELL, film_strip, label_width, side
from jitkit.pictures.recorder import FilmFrame, Recorder, frames_of
from jitkit.pictures.sample_files import write_pictures
from jitkit.pictures.spans import diff_spans
from jitkit.pictures.text_lines import (
    LINE_HEIGHT,
    MAX_LINES,
    UNSETTLED,
    glyphs_missing,
    load_font,
    wrapped,
)
from jitkit.storage.png import read_picture
from jitkit.testing.oracle import oracle_context, tiny_windows


@pytest.fixture
def pipeline():
    """A pipeline whose oracle model knows one window, so every trajectory ends there."""
    return oracle_context(tiny_windows(1)).pipeline


def recorded(pipeline, seeds):
    snapshots = []
    results = pipeline.generate(seeds, sampler=Recorder(pipeline.sampler, snapshots.append))
    return results, snapshots


def test_recording_does_not_change_samples(pipeline):
    results, snapshots = recorded(pipeline, [3, 4])
    plain = pipeline.generate([3, 4])
    assert [result.text for result in results] == [result.text for result in plain]
    assert torch.equal(results[1].image, plain[1].image)
    assert len(snapshots) == pipeline.sampler.steps + 1


def test_snapshots_run_from_noise_to_the_image(pipeline):
    results, snapshots = recorded(pipeline, [3])
    assert snapshots[0].t == 0
    assert snapshots[-1].t == 1
    assert [snapshot.t for snapshot in snapshots] == sorted({snapshot.t for snapshot in snapshots})
    assert torch.equal(snapshots[-1].estimate[0], results[0].image)
    steps = []
    pipeline.generate([3], on_step=steps.append)
    for before, step, after in zip(snapshots, steps, snapshots[1:], strict=False):
        assert torch.equal(before.estimate, step.x_hat)
        assert torch.equal(after.z, to_pictures(step.z))
    frames = frames_of(snapshots, 0, 3, pipeline)
    assert [frame.t for frame in frames] == [snapshots[i].t for i in (0, 2, 4)]
    assert frames[-1].text == results[0].text
    assert not torch.equal(frames[0].z, frames[-1].z)


@pytest.mark.parametrize(
    ("text", "reference", "marked"),
    [
        ("abc", "abc", ""),
        ("axc", "abc", "x"),
        ("abcd", "abc", "d"),
        ("ab", "abc", ""),
        ("中文", "中女", "文"),
        ("", "a", ""),
    ],
)
def test_changes(text, reference, marked):
    pieces = diff_spans(text, reference)
    assert "".join(piece for piece, _ in pieces) == text
    assert "".join(piece for piece, changed in pieces if changed) == marked


def frame(text, t=0.5):
    picture = torch.zeros(4, 4, 3, dtype=torch.uint8)
    return FilmFrame(t, picture, picture, text)


def test_only_unsettled_letters_are_orange():
    font = load_font([])
    settled = film_strip([frame("same"), frame("same", 1.0)], font)
    unsettled = film_strip([frame("sbme"), frame("same", 1.0)], font)
    orange = tuple(bytes.fromhex(UNSETTLED[1:]))
    colors = {color for _, color in settled.getcolors(1 << 20)}
    assert orange not in colors
    assert orange in {color for _, color in unsettled.getcolors(1 << 20)}


def test_long_texts_wrap_and_are_truncated():
    font = load_font([])
    short = film_strip([frame("a")], font)
    long = film_strip([frame("word " * 2000)], font)
    cell = side(frame("a").z, MIN_CELL)
    assert short.width == long.width == cell + label_width(font) + 2 * EDGE
    assert long.height == short.height + (MAX_LINES - 1) * LINE_HEIGHT
    margin = long.crop((long.width - EDGE, 0, long.width, long.height))
    assert margin.getcolors() == [(margin.width * margin.height, (255, 255, 255))], "text exceeds its column"
    assert film_strip([frame("a\nb\n\x1b\u202e\tc")], font).height == short.height + 2 * LINE_HEIGHT
    assert film_strip([frame("")], font).height == short.height


def lines_of(text, width):
    font = load_font([])
    return [
        "".join(letter for letter, _ in line) for line in wrapped([(text, False)], font, font.getlength("m") * width)
    ]


def test_lines_break_between_words_and_only_long_words_are_broken():
    assert lines_of("mmm mmm mmm", 8) == ["mmm mmm ", "mmm"]
    assert lines_of("mmmm mmmm", 4) == ["mmmm", "mmmm"]
    assert lines_of("m" * 10, 4) == ["mmmm", "mmmm", "mm"]
    assert lines_of("m\n\nm", 4) == ["m", "", "m"]
    assert lines_of(" mmmm", 4)[-1].endswith("m")
    text = "the quick brown fox jumps over the lazy dog " * 9
    assert [word for line in lines_of(text, 10) for word in line.split()] == text.split()


def test_the_names_of_the_rows_are_written_once():
    one, two = (film_strip([frame("a")] * num, load_font([])) for num in (1, 2))
    assert two.width - one.width == side(frame("a").z, MIN_CELL) + GAP


def test_missing_glyphs_are_found(tmp_path):
    font = load_font(["plain"])
    assert glyphs_missing("plain words", font) == set()
    assert (
        glyphs_missing("\U000fffff\n", load_font([])) == set()
    )  # unassigned and control characters have no glyph at all
    (tmp_path / "font.ttf").write_bytes(b"no font")
    with pytest.raises(InputError, match="a font file"):
        load_font([], tmp_path / "font.ttf")


def test_files_are_exact_and_missing_letters_are_reported(pipeline, tmp_path):
    warnings = []
    results, snapshots = recorded(pipeline, [3, 4])
    results[0] = replace(results[0], text="not used")
    paths = write_pictures(pipeline, results, snapshots, tmp_path / "new", warn=warnings.append)
    for path, result in zip(paths, results, strict=True):
        picture = read_picture(tmp_path / "new" / f"seed-{result.seed}.png", pipeline.codec.image_size)
        assert torch.equal(pipeline.codec.decode_bytes(picture[None])[0], result.tokens)
        with Image.open(path["film_strip"]) as strip:
            cell = side(picture, MIN_CELL)
            width = strip.width - 2 * EDGE - 5 * cell - 4 * GAP  # the names of the rows
            assert GAP < width < cell
        with Image.open(path["large_image"]) as large:
            assert large.size == (256, 256)
            small = large.resize((pipeline.codec.image_size,) * 2, Image.Resampling.NEAREST)
            assert small.tobytes() == picture.numpy().tobytes(), "every pixel is a square"
    assert not [warning for warning in warnings if "seed" not in warning]


def test_an_animation_shows_every_frame_and_pauses_on_the_last(pipeline, tmp_path):
    results, snapshots = recorded(pipeline, [3])
    (path,) = write_pictures(pipeline, results, snapshots, tmp_path, animated=True, warn=str)
    with Image.open(path["animation"]) as moving:
        assert moving.n_frames == len(snapshots)
        durations = []
        for number in range(moving.n_frames):
            moving.seek(number)
            durations.append(moving.info["duration"])
        assert set(durations[:-1]) == {200}
        assert durations[-1] == 2500
        assert moving.width == 2 * 128 + 3 * 16
    assert Path(path["animation"]).stat().st_size < 12_000 * len(snapshots)

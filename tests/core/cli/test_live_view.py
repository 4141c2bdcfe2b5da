"""The picture that a terminal sees."""

import io

import torch
from rich.console import Console

from jitkit.cli.live_view import LiveView, half_blocks
from jitkit.pictures.recorder import Snapshot


def test_two_pixels_a_character():
    picture = torch.tensor([[[255, 0, 0]], [[0, 0, 255]], [[0, 255, 0]]], dtype=torch.uint8)
    text = half_blocks(picture, 80, 40)
    assert text.plain == "▀\n▀"
    first = text.spans[0].style
    assert (first.color.triplet.hex, first.bgcolor.triplet.hex) == ("#ff0000", "#0000ff")
    last = text.spans[-1].style
    assert last.color.triplet == last.bgcolor.triplet  # an odd last row stands alone


def test_a_picture_is_averaged_down_to_the_terminal():
    picture = torch.zeros(64, 64, 3, dtype=torch.uint8)
    picture[::2] = 200
    for width, rows in ((80, 40), (30, 40), (80, 7), (1, 1)):
        lines = half_blocks(picture, width, rows).plain.split("\n")
        assert len(lines) <= rows
        assert max(map(len, lines)) <= width
    assert half_blocks(picture, 32, 40).spans[0].style.color.triplet.red == 100


def test_text_is_shown_and_never_obeyed():
    terminal = io.StringIO()
    console = Console(file=terminal, force_terminal=True, width=40, height=30)
    texts = iter(["one\x1b]0;evil\x07", "two"])
    picture = torch.zeros(1, 4, 4, 3, dtype=torch.uint8)
    with LiveView(console, lambda _: next(texts)) as watch:
        watch.show(Snapshot(0.0, picture, picture, torch.zeros(1, 3, 4, 4)))
        watch.show(Snapshot(0.5, picture, picture, torch.zeros(1, 3, 4, 4)))
    assert "\x1b]0;" not in terminal.getvalue()
    assert "\\x1b]0;evil\\x07" in terminal.getvalue()

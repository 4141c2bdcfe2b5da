"""Images and text on a terminal."""

import io

import torch
from rich.console import Console

from jitkit.cli.live_view import half_blocks, live_view
from jitkit.pictures.recorder import Snapshot


def test_a_character_shows_two_pixels():
    image = torch.tensor([[[255, 0, 0]], [[0, 0, 255]], [[0, 255, 0]]], dtype=torch.uint8)
    text = half_blocks(image, 80, 40)
    assert text.plain == "▀\n▀"
    first = text.spans[0].style
    assert (first.color.triplet.hex, first.bgcolor.triplet.hex) == ("#ff0000", "#0000ff")
    last = text.spans[-1].style
    assert last.color.triplet == last.bgcolor.triplet  # odd number of rows


def test_images_are_downscaled_to_the_terminal():
    image = torch.zeros(64, 64, 3, dtype=torch.uint8)
    image[::2] = 200
    for width, rows in ((80, 40), (30, 40), (80, 7), (1, 1)):
        lines = half_blocks(image, width, rows).plain.split("\n")
        assert len(lines) <= rows
        assert max(map(len, lines)) <= width
    assert half_blocks(image, 32, 40).spans[0].style.color.triplet.red == 100


def test_control_characters_are_escaped():
    terminal = io.StringIO()
    console = Console(file=terminal, force_terminal=True, width=40, height=30)
    texts = iter(["one\x1b]0;evil\x07", "two"])
    image = torch.zeros(1, 4, 4, 3, dtype=torch.uint8)
    with live_view(console, lambda _: next(texts)) as show:
        show(Snapshot(0.0, image, image, torch.zeros(1, 3, 4, 4)))
        show(Snapshot(0.5, image, image, torch.zeros(1, 3, 4, 4)))
    assert "\x1b]0;" not in terminal.getvalue()
    assert "\\x1b]0;evil\\x07" in terminal.getvalue()

"""Line plots as pictures, drawn with Pillow: panels side by side, the same lines in each, named once at the top."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

SCALE = 2  # drawn larger and shrunk, which smooths the lines
WIDTH, HEIGHT, HEAD = 560, 380, 64  # of a panel and of what stands above all panels
LEFT, RIGHT, TOP, BOTTOM = 60, 28, 34, 56  # margins of a panel
INK, PALE, PAPER = "#222222", "#dddddd", "#ffffff"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito: told apart by everybody


@dataclass(frozen=True)
class Panel:
    """One pair of axes; the horizontal one spans `x_ticks` (logarithmic or not), the vertical one 0 to 1."""

    title: str
    x_label: str
    x_ticks: Sequence[float]
    lines: Mapping[str, Sequence[tuple[float, float]]]
    logarithmic: bool = False


def draw_panels(heading: str, panels: Sequence[Panel]) -> Image.Image:
    """Return the RGB picture of at most six lines a panel."""
    large = Image.new("RGB", (SCALE * WIDTH * len(panels), SCALE * (HEAD + HEIGHT)), PAPER)
    pen = ImageDraw.Draw(large)
    pen.text((SCALE * LEFT, SCALE * 12), heading, INK, _font(16))
    _draw_names(pen, list(panels[0].lines))
    for number, panel in enumerate(panels):
        frame = _Frame(SCALE * WIDTH * number, SCALE * HEAD, panel)
        _draw_axes(pen, panel, frame)
        for colour, points in zip(COLOURS, panel.lines.values(), strict=False):
            _draw_line(pen, [frame.place(x, y) for x, y in points], colour)
    return large.resize((WIDTH * len(panels), HEAD + HEIGHT), Image.Resampling.LANCZOS)


class _Frame(NamedTuple):
    """Where a panel stands in the large picture."""

    x: int
    y: int
    panel: Panel

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return the pixel of a point of the axes."""
        warp = math.log if self.panel.logarithmic else float
        first, last = warp(self.panel.x_ticks[0]), warp(self.panel.x_ticks[-1])
        across = (warp(x) - first) / (last - first) * (WIDTH - LEFT - RIGHT)
        up = y * (HEIGHT - TOP - BOTTOM)
        return self.x + SCALE * (LEFT + across), self.y + SCALE * (HEIGHT - BOTTOM - up)


def _draw_names(pen: ImageDraw.ImageDraw, names: Sequence[str]) -> None:
    x, y = float(SCALE * LEFT), SCALE * 50
    for colour, name in zip(COLOURS, names, strict=False):
        pen.line([(x, y), (x + SCALE * 22, y)], colour, SCALE * 3)
        pen.text((x + SCALE * 28, y), name, INK, _font(14), anchor="lm")
        x += SCALE * 52 + pen.textlength(name, _font(14))


def _draw_axes(pen: ImageDraw.ImageDraw, panel: Panel, frame: _Frame) -> None:
    first, last = panel.x_ticks[0], panel.x_ticks[-1]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        start, end = frame.place(first, tick), frame.place(last, tick)
        pen.line([start, end], PALE if tick else INK, SCALE)
        pen.text((start[0] - SCALE * 8, start[1]), f"{tick:g}", INK, _font(13), anchor="rm")
    for tick in panel.x_ticks:
        bottom = frame.place(tick, 0)
        pen.line([bottom, frame.place(tick, 1)], PALE, SCALE)
        pen.text((bottom[0], bottom[1] + SCALE * 7), f"{tick:g}", INK, _font(13), anchor="ma")
    left, right = frame.place(first, 0), frame.place(last, 0)
    pen.text(((left[0] + right[0]) / 2, left[1] + SCALE * 28), panel.x_label, INK, _font(13), anchor="ma")
    pen.text((left[0], frame.place(first, 1)[1] - SCALE * 10), panel.title, INK, _font(14), anchor="ls")


def _draw_line(pen: ImageDraw.ImageDraw, places: Sequence[tuple[float, float]], colour: str) -> None:
    pen.line(list(places), colour, SCALE * 2, joint="curve")
    for x, y in places:
        pen.ellipse((x - SCALE * 3, y - SCALE * 3, x + SCALE * 3, y + SCALE * 3), colour)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(SCALE * size)

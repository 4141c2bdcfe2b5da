"""Line plots drawn with Pillow: panels side by side, with the same lines in each and one legend."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

SCALE = 2  # supersampling, for smooth lines
WIDTH, HEIGHT, HEAD = 560, 380, 64  # of a panel, and height of the heading and legend
LEFT, RIGHT, TOP, BOTTOM = 60, 28, 34, 56  # margins of a panel
INK, PALE, PAPER = "#222222", "#dddddd", "#ffffff"
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito, for color blindness


@dataclass(frozen=True)
class Panel:
    """One plot. The horizontal axis spans `x_ticks`, the vertical axis 0 to 1."""

    title: str
    x_label: str
    x_ticks: Sequence[float]
    lines: Mapping[str, Sequence[tuple[float, float]]]
    logarithmic: bool = False


def draw_panels(heading: str, panels: Sequence[Panel]) -> Image.Image:
    """Return an RGB picture of the panels, with at most six lines each."""
    large = Image.new("RGB", (SCALE * WIDTH * len(panels), SCALE * (HEAD + HEIGHT)), PAPER)
    pen = ImageDraw.Draw(large)
    pen.text((SCALE * LEFT, SCALE * 12), heading, INK, _font(16))
    _draw_legend(pen, list(panels[0].lines))
    for number, panel in enumerate(panels):
        frame = _Frame(SCALE * WIDTH * number, SCALE * HEAD, panel)
        _draw_axes(pen, panel, frame)
        for color, points in zip(COLORS, panel.lines.values(), strict=False):
            _draw_line(pen, [frame.pixel(x, y) for x, y in points], color)
    return large.resize((WIDTH * len(panels), HEAD + HEIGHT), Image.Resampling.LANCZOS)


class _Frame(NamedTuple):
    """The position of a panel in the picture."""

    x: int
    y: int
    panel: Panel

    def pixel(self, x: float, y: float) -> tuple[float, float]:
        """Return the pixel of a data point."""
        scale = math.log if self.panel.logarithmic else float
        first, last = scale(self.panel.x_ticks[0]), scale(self.panel.x_ticks[-1])
        across = (scale(x) - first) / (last - first) * (WIDTH - LEFT - RIGHT)
        up = y * (HEIGHT - TOP - BOTTOM)
        return self.x + SCALE * (LEFT + across), self.y + SCALE * (HEIGHT - BOTTOM - up)


def _draw_legend(pen: ImageDraw.ImageDraw, names: Sequence[str]) -> None:
    x, y = float(SCALE * LEFT), SCALE * 50
    for color, name in zip(COLORS, names, strict=False):
        pen.line([(x, y), (x + SCALE * 22, y)], color, SCALE * 3)
        pen.text((x + SCALE * 28, y), name, INK, _font(14), anchor="lm")
        x += SCALE * 52 + pen.textlength(name, _font(14))


def _draw_axes(pen: ImageDraw.ImageDraw, panel: Panel, frame: _Frame) -> None:
    first, last = panel.x_ticks[0], panel.x_ticks[-1]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        start, end = frame.pixel(first, tick), frame.pixel(last, tick)
        pen.line([start, end], PALE if tick else INK, SCALE)
        pen.text((start[0] - SCALE * 8, start[1]), f"{tick:g}", INK, _font(13), anchor="rm")
    for tick in panel.x_ticks:
        bottom = frame.pixel(tick, 0)
        pen.line([bottom, frame.pixel(tick, 1)], PALE, SCALE)
        pen.text((bottom[0], bottom[1] + SCALE * 7), f"{tick:g}", INK, _font(13), anchor="ma")
    left, right = frame.pixel(first, 0), frame.pixel(last, 0)
    pen.text(((left[0] + right[0]) / 2, left[1] + SCALE * 28), panel.x_label, INK, _font(13), anchor="ma")
    pen.text((left[0], frame.pixel(first, 1)[1] - SCALE * 10), panel.title, INK, _font(14), anchor="ls")


def _draw_line(pen: ImageDraw.ImageDraw, pixels: Sequence[tuple[float, float]], color: str) -> None:
    pen.line(list(pixels), color, SCALE * 2, joint="curve")
    for x, y in pixels:
        pen.ellipse((x - SCALE * 3, y - SCALE * 3, x + SCALE * 3, y + SCALE * 3), color)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(SCALE * size)

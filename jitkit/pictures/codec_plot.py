"""A plot of codec reports: panels side by side, with a line per codec in each and one legend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from jitkit.codecs.report import CodecReport

SCALE = 2  # supersampling, for smooth lines
WIDTH, HEIGHT, HEAD = (SCALE * size for size in (560, 380, 64))  # of a panel, and height of heading and legend
LEFT, RIGHT, TOP, BOTTOM = (SCALE * size for size in (60, 28, 34, 56))  # margins of a panel
INK, PALE, PAPER = "#222222", "#dddddd", "#ffffff"
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito, for color blindness

Point = tuple[float, float]


@dataclass(frozen=True)
class Panel:
    """One plot with a line per codec. The horizontal axis spans `x_ticks`, the vertical axis 0 to 1."""

    title: str
    x_label: str
    x_ticks: Sequence[float]
    lines: Sequence[Sequence[Point]]
    logarithmic: bool = False

    def pixel(self, x: float, y: float, left: int) -> Point:
        """Return the pixel of a data point in a panel whose left edge is at `left`."""
        scale = math.log if self.logarithmic else float
        first, last = scale(self.x_ticks[0]), scale(self.x_ticks[-1])
        across = (scale(x) - first) / (last - first) * (WIDTH - LEFT - RIGHT)
        return left + LEFT + across, HEAD + HEIGHT - BOTTOM - y * (HEIGHT - TOP - BOTTOM)


def draw_reports(reports: Sequence[CodecReport]) -> Image.Image:
    """Return a plot of at most six codecs: token accuracy against noise, and the context-free baselines."""
    sizes = sorted({report.vocab_size for report in reports})
    noise = Panel(
        "Gaussian noise on the image",
        "sigma (x is in -1 .. 1)",
        (0.001, 0.01, 0.1, 1, 10),
        [[(row["sigma"], row["accuracy"]) for row in report.noise] for report in reports],
        logarithmic=True,
    )
    baseline = Panel(
        "context-free baseline: z at time t, decoded token by token",
        "t (0 is noise, 1 is data)",
        (0, 0.2, 0.4, 0.6, 0.8, 1),
        [[(row["t"], row["accuracy"]) for row in report.contextless] for report in reports],
    )
    large = Image.new("RGB", (2 * WIDTH, HEAD + HEIGHT), PAPER)
    pen = ImageDraw.Draw(large)
    heading = f"Token accuracy without a network, vocabulary of {' and '.join(f'{size:,}' for size in sizes)}"
    pen.text((LEFT, SCALE * 12), heading, INK, _font(16))
    _draw_legend(pen, [report.name for report in reports])
    for panel, left in ((noise, 0), (baseline, WIDTH)):
        _draw_axes(pen, panel, left)
        for color, points in zip(COLORS, panel.lines, strict=False):
            _draw_line(pen, [panel.pixel(x, y, left) for x, y in points], color)
    return large.resize((large.width // SCALE, large.height // SCALE), Image.Resampling.LANCZOS)


def _draw_legend(pen: ImageDraw.ImageDraw, names: Sequence[str]) -> None:
    x, y = float(LEFT), SCALE * 50
    for color, name in zip(COLORS, names, strict=False):
        pen.line([(x, y), (x + SCALE * 22, y)], color, SCALE * 3)
        pen.text((x + SCALE * 28, y), name, INK, _font(14), anchor="lm")
        x += SCALE * 52 + pen.textlength(name, _font(14))


def _draw_axes(pen: ImageDraw.ImageDraw, panel: Panel, left: int) -> None:
    first, last = panel.x_ticks[0], panel.x_ticks[-1]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        start, end = panel.pixel(first, tick, left), panel.pixel(last, tick, left)
        pen.line([start, end], PALE if tick else INK, SCALE)
        pen.text((start[0] - SCALE * 8, start[1]), f"{tick:g}", INK, _font(13), anchor="rm")
    for tick in panel.x_ticks:
        x, bottom = panel.pixel(tick, 0, left)
        pen.line([(x, bottom), panel.pixel(tick, 1, left)], PALE, SCALE)
        pen.text((x, bottom + SCALE * 7), f"{tick:g}", INK, _font(13), anchor="ma")
    middle, bottom, top = left + (LEFT + WIDTH - RIGHT) / 2, HEAD + HEIGHT - BOTTOM, HEAD + TOP
    pen.text((middle, bottom + SCALE * 28), panel.x_label, INK, _font(13), anchor="ma")
    pen.text((left + LEFT, top - SCALE * 10), panel.title, INK, _font(14), anchor="ls")


def _draw_line(pen: ImageDraw.ImageDraw, pixels: Sequence[Point], color: str) -> None:
    pen.line(list(pixels), color, SCALE * 2, joint="curve")
    for x, y in pixels:
        pen.ellipse((x - SCALE * 3, y - SCALE * 3, x + SCALE * 3, y + SCALE * 3), color)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(SCALE * size)

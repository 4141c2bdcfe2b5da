"""A plot of codec reports."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from jitkit.codecs.report import CodecReport
from jitkit.pictures.line_plot import Panel, draw_panels


def draw_reports(reports: Sequence[CodecReport]) -> Image.Image:
    """Return a plot of token accuracy against noise and of the context-free baselines."""
    sizes = sorted({report.vocab_size for report in reports})
    heading = f"Token accuracy without a network, vocabulary of {' and '.join(f'{size:,}' for size in sizes)}"
    noise = Panel(
        "Gaussian noise on the image",
        "sigma (x is in -1 .. 1)",
        (0.001, 0.01, 0.1, 1, 10),
        {report.name: [(row["sigma"], row["accuracy"]) for row in report.noise] for report in reports},
        logarithmic=True,
    )
    baseline = Panel(
        "context-free baseline: z at time t, decoded token by token",
        "t (0 is noise, 1 is data)",
        (0, 0.2, 0.4, 0.6, 0.8, 1),
        {report.name: [(row["t"], row["accuracy"]) for row in report.contextless] for report in reports},
    )
    return draw_panels(heading, [noise, baseline])

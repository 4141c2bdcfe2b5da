"""Noise becoming text, on a terminal: the picture in half-block colours, and how it reads, step by step."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.color import Color
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.style import Style
from rich.table import Table
from rich.text import Text
from torch import Tensor
from torch.nn.functional import avg_pool2d

from jitkit.errors import visible
from jitkit.pictures.recorder import Snapshot
from jitkit.pictures.text_diff import diff_spans

SECONDS_A_FRAME = 0.08  # at least, so that an eye can follow
TEXT_ROWS = 8  # of the terminal, kept free for the words
BETWEEN = 3  # characters between two pictures
CHANGED = Style(bold=True, color="yellow")


class LiveView:
    """Shows the moments of one text as they come; the last picture stays."""

    def __init__(self, console: Console, read: Callable[[Tensor], str]) -> None:
        """Use `read` to turn an estimate [1, 3, H, W] into text."""
        self._console = console
        self._read = read
        self._text = ""
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, moment: Snapshot) -> None:
        """Show the first image of a moment and its text, letters that changed since the moment before marked."""
        begun = time.monotonic()
        text = self._read(moment.estimate[:1])
        words = Text()
        for piece, changed in diff_spans(text, self._text):
            words.append(_safe(piece), CHANGED if changed else "")
        words.truncate(self._console.width * (TEXT_ROWS - 2), overflow="ellipsis")
        heading = Text(f"t = {moment.t:.3f}", "dim")
        parts: list[RenderableType] = [self._pictures(moment), heading]
        self._live.update(Group(*parts) if moment.t == 1 else Group(*parts, words))
        self._live.refresh()
        self._text = text
        time.sleep(max(0.0, SECONDS_A_FRAME - (time.monotonic() - begun)))

    def _pictures(self, moment: Snapshot) -> Table:
        """Return the noisy image, and beside it what the model sees in it where there is room for both."""
        width, rows = self._console.width, max(4, self._console.height - TEXT_ROWS)
        both = 2 * moment.z.shape[2] + BETWEEN <= width
        row = Table.grid(padding=(0, BETWEEN))
        row.add_row(*(half_blocks(part[0], width, rows) for part in (moment.z, moment.x_hat)[: 1 + both]))
        return row


def half_blocks(picture: Tensor, width: int, rows: int) -> Text:
    """Return a picture [H, W, 3] uint8 as text, two pixels a character, averaged down to at most `width` by `rows`."""
    height = picture.shape[0]
    factor = max(1, -(-picture.shape[1] // width), -(-height // (2 * rows)))
    if factor > 1:
        pooled = avg_pool2d(picture.permute(2, 0, 1).float(), factor, ceil_mode=True)
        picture = pooled.round().byte().permute(1, 2, 0)
    pixels = picture.tolist()
    pixels += [pixels[-1]] * (len(pixels) % 2)
    text = Text(no_wrap=True)
    for above, below in zip(pixels[::2], pixels[1::2], strict=True):
        for top, bottom in zip(above, below, strict=True):
            text.append("▀", Style(color=Color.from_rgb(*top), bgcolor=Color.from_rgb(*bottom)))
        text.append("\n")
    text.rstrip()
    return text


def _safe(text: str) -> str:
    """Return text on one line that a terminal shows and does not obey."""
    return visible(text.replace("\n", " "))

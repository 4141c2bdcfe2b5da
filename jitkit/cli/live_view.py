"""A live view of sampling on a terminal: the image in colored half blocks, and its text, at every step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

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
from jitkit.pictures.spans import diff_spans

SECONDS_PER_FRAME = 0.08  # minimum, slow enough to watch
TEXT_ROWS = 8  # terminal rows reserved for text
GAP = 3  # characters between two images
CHANGED = Style(bold=True, color="yellow")


@contextmanager
def live_view(console: Console, text_of: Callable[[Tensor], str]) -> Iterator[Callable[[Snapshot], None]]:
    """Yield a function that shows the first image of a snapshot and its text, with changed letters highlighted.

    `text_of` returns the text of an estimate [1, 3, H, W]. The last image of each text stays on screen.
    """
    before, live = "", None
    with ExitStack() as stack:

        def show(snapshot: Snapshot) -> None:
            nonlocal before, live
            live = live or stack.enter_context(Live(console=console, auto_refresh=False, redirect_stdout=False))
            start, text = time.monotonic(), text_of(snapshot.estimate[:1])
            words = Text()
            for piece, changed in diff_spans(text, before):
                words.append(visible(piece.replace("\n", " ")), CHANGED if changed else "")
            words.truncate(console.width * (TEXT_ROWS - 2), overflow="ellipsis")
            top = [_images(snapshot, console), Text(f"t = {snapshot.t:.3f}", "dim")]
            live.update(Group(*top) if snapshot.t == 1 else Group(*top, words), refresh=True)
            before = text
            if snapshot.t == 1:
                stack.close()
                before, live = "", None
            time.sleep(max(0.0, SECONDS_PER_FRAME - (time.monotonic() - start)))

        yield show


def _images(snapshot: Snapshot, console: Console) -> RenderableType:
    """Return the noisy image and, if there is room, the model's estimate next to it."""
    width, rows = console.width, max(4, console.height - TEXT_ROWS)
    both = 2 * snapshot.z.shape[2] + GAP <= width
    row = Table.grid(padding=(0, GAP))
    row.add_row(*(half_blocks(images[0], width, rows) for images in (snapshot.z, snapshot.x_hat)[: 1 + both]))
    return row


def half_blocks(image: Tensor, width: int, rows: int) -> Text:
    """Return an image [H, W, 3] uint8 as text of two pixels per character, downscaled to at most `width` by `rows`."""
    height = image.shape[0]
    factor = max(1, -(-image.shape[1] // width), -(-height // (2 * rows)))
    if factor > 1:
        pooled = avg_pool2d(image.permute(2, 0, 1).float(), factor, ceil_mode=True)
        image = pooled.round().byte().permute(1, 2, 0)
    pixels = image.tolist()
    pixels += [pixels[-1]] * (len(pixels) % 2)
    text = Text(no_wrap=True)
    for above, below in zip(pixels[::2], pixels[1::2], strict=True):
        for top, bottom in zip(above, below, strict=True):
            text.append("▀", Style(color=Color.from_rgb(*top), bgcolor=Color.from_rgb(*bottom)))
        text.append("\n")
    text.rstrip()
    return text

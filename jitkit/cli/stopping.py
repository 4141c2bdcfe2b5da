"""Stopping a command that needs no last step: Ctrl-C and SIGTERM end it, after its temporary files are deleted."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from jitkit.errors import Stopped


@contextmanager
def stopping(saved: str) -> Iterator[None]:
    """Raise Stopped, with what was saved, at the first SIGINT or SIGTERM inside the block. Later ones are ignored."""

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number, saved)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    if threading.current_thread() is not threading.main_thread():
        before.clear()  # Python allows handlers only there
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

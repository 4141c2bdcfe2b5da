"""Ctrl-C and SIGTERM: the first signal finishes the step and saves, the second stops at once."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from jitkit import parallel
from jitkit.errors import Stopped

REPEAT = 5.0  # seconds within which a signal under torchrun is the same one, for example of Ctrl-C or of Slurm:
# the processes receive it directly, and once more from torchrun


class StopRequested(Exception):
    """A signal arrived during validation or while the report page was drawn, which is abandoned."""


@dataclass
class StopSignals:
    """The first stop signal received, which the training loop checks between steps."""

    received: int | None = None
    received_at: float = 0.0

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Store the first signal; raise Stopped for the second."""
        del frame
        if self.received is not None:
            if parallel.launch() is not None and time.monotonic() < self.received_at + REPEAT:
                return
            raise Stopped(number, "Stopped at once by a second signal; the last checkpoint remains.")
        self.received, self.received_at = number, time.monotonic()

    def check(self) -> None:
        """Raise StopRequested after a signal."""
        if self.received is not None:
            raise StopRequested


@contextmanager
def stop_signals(*, catch: bool = True) -> Iterator[StopSignals]:
    """Catch SIGINT, SIGTERM and, unless it is ignored (nohup), SIGHUP inside the block.

    Python allows signal handlers only in the main thread; elsewhere, and unless `catch`, this does nothing.
    """
    signals, numbers = StopSignals(), [signal.SIGINT, signal.SIGTERM]
    hang_up = getattr(signal, "SIGHUP", None)  # absent on Windows
    if hang_up is not None and signal.getsignal(hang_up) != signal.SIG_IGN:
        numbers.append(hang_up)
    if not catch or threading.current_thread() is not threading.main_thread():
        numbers.clear()
    before = {number: signal.signal(number, signals.handle) for number in numbers}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            # torchrun ends all processes when one has failed. The others still have an exit code to return.
            ends = number == signal.SIGTERM and parallel.launched_by_torchrun()
            signal.signal(number, signal.SIG_IGN if ends else handler)

"""Ctrl-C and SIGTERM: the first signal finishes the step and saves, the second stops at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from jitkit.errors import Stopped


class StopSignals:
    """A context in which a stop signal is stored in `received`, where the training loop checks it between steps.

    SIGHUP counts as well, unless it is ignored (nohup). The previous handlers are restored at the end. Python allows signal
    handlers only in the main thread; elsewhere this does nothing.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in self._numbers():
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @staticmethod
    def _numbers() -> list[int]:
        hang_up = getattr(signal, "SIGHUP", None)  # absent on Windows
        numbers: list[int] = [signal.SIGINT, signal.SIGTERM]
        return numbers if hang_up is None or signal.getsignal(hang_up) == signal.SIG_IGN else [*numbers, hang_up]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.received is not None:
            raise Stopped(number, "Stopped at once by a second signal; the last checkpoint remains.")
        self.received = number

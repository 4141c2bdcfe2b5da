"""Ctrl-C and SIGTERM: the first asks to finish the step and save, the second stops at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from jitkit.errors import Stopped


class StopSignals:
    """A context in which a stop signal is remembered in `received`, for the loop to see between steps.

    SIGHUP is taken as well unless it is ignored already (nohup). The handlers of before come back at the end. Outside
    the main thread Python takes no handlers, and nothing is changed.
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
        taken: list[int] = [signal.SIGINT, signal.SIGTERM]
        return taken if hang_up is None or signal.getsignal(hang_up) == signal.SIG_IGN else [*taken, hang_up]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.received is not None:
            raise Stopped(number, "Stopped at once by a second signal; the last saved checkpoint stands.")
        self.received = number

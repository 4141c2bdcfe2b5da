"""Python's interpreter in the process of a command: quick imports and a quick end.

torch has half a million objects. Python would search them for garbage while they are imported, and free them one by one at the end.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the garbage collector in a block that imports modules, and let it leave out their objects afterwards.

    It would take 0.1 to 0.3 s to search them. Only for processes of our own: all objects that exist at the end of the block are
    left out.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def end_process(code: int) -> NoReturn:
    """Exit with `code`: wait for threads, call what `atexit` has, and write out the streams, but free nothing.

    Freeing takes 0.1 s. In a process of `torchrun`, a thread of gloo that wants the interpreter's lock meanwhile would abort
    the process, on a busy machine in one of about 40 exits, and `torchrun` would restart a run that had succeeded.
    """
    with suppress(KeyboardInterrupt):  # Ctrl-C ends the wait
        threading._shutdown()  # type: ignore[attr-defined]  # Python's own exit begins with it, too
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody reads it any more
            stream.flush()
    os._exit(code)

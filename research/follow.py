"""Count the files that one text crosses: python -m research.follow jitkit train jit-nano --data TEXT ...

Runs the command in this process and records every call from one file of jitkit or its built-in plugins into another.
Prints the number of files, and the files that are entered again while they are still on the call stack: a reader who
follows the text comes back to such a file other than by a function return.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import jitkit
import jitkit_plugins

ROOTS = tuple(str(Path(str(package.__file__)).parent) for package in (jitkit, jitkit_plugins))


class CallRecorder:
    """The files that were entered, and how often each was entered again from another file while on the stack."""

    def __init__(self) -> None:
        self.entered: dict[str, None] = {}
        self.again: Counter[tuple[str, str]] = Counter()
        self._stack: list[str | None] = []

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """Record one profile event; see `sys.setprofile`."""
        del argument
        if event == "call":
            code = frame.f_code
            ours = code.co_filename.startswith(ROOTS) and not code.co_name.startswith("<")
            name = code.co_filename if ours else None
            inner = next((file for file in reversed(self._stack) if file is not None), None)
            if name is not None and name != inner:
                self.entered.setdefault(name)
                if name in self._stack:
                    self.again[str(inner), name] += 1
            self._stack.append(name)
        elif event == "return" and self._stack:
            self._stack.pop()


def main() -> None:
    """Run the command that the arguments name and print what was recorded."""
    from jitkit.cli import main as run

    sys.argv = sys.argv[1:]
    recorder = CallRecorder()
    threading.setprofile(None)
    sys.setprofile(recorder)
    try:
        run()
    except SystemExit as stop:
        if stop.code:
            raise
    finally:
        sys.setprofile(None)
    roots = [str(Path(root).parent) + "/" for root in ROOTS]
    short = {name: name.removeprefix(roots[0]).removeprefix(roots[1]) for name in recorder.entered}
    print(f"{len(recorder.entered)} files")
    for (caller, file), count in sorted(recorder.again.items()):
        print(f"entered again: {short[file]} from {short.get(caller, caller)}, {count} times")


if __name__ == "__main__":
    main()

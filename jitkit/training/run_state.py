"""`run_state.json`: what has become of a run, for whatever has started it.

`torchrun` ends with 1 whatever happened, and a job that was killed cannot say so. The file also tells processes that
`torchrun` has restarted from a new run, and a job whose folder another one has taken over, where locks do not reach.
"""

from __future__ import annotations

import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from jitkit import parallel
from jitkit.documents.document import read_document, write_document
from jitkit.documents.schemas import RunState
from jitkit.errors import JitkitError, ResourceError, Stopped, as_jitkit_error
from jitkit.filesystem import is_file

RUN_STATE = "run_state.json"
LOCK = ".lock"  # of the run folder


class StateFile:
    """The state file of a run folder. The main process writes it, or another one if that was killed."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / RUN_STATE
        self._now: RunState | None = None  # the state that an error changes

    def read(self) -> RunState | None:
        """Return what is in the file; None if it is missing or damaged."""
        with suppress(JitkitError):
            return read_document(self.path, RunState) if is_file(self.path) else None
        return None

    def is_of_this_launch(self) -> bool:
        """Return whether the run in the folder was started by the same call of `torchrun` as this process."""
        before = self.read()
        return before is not None and before.launch is not None and before.launch == parallel.launch()

    def begin(self, step: int) -> None:
        """Record that the run goes on from a step. All processes call this."""
        before = self.read() if self.is_of_this_launch() else None
        self._now = RunState(
            state="running",
            step=step,
            time=_time(),
            world_size=parallel.world_size(),
            restarts=before.restarts + 1 if before else 0,
            launch=parallel.launch(),
            attempt=parallel.from_main_process(secrets.token_hex(8)),
        )
        if parallel.is_main_process():
            write_document(self.path, self._now)

    def saved(self, step: int) -> None:
        """Record that the main process has saved a step, if the run has begun."""
        if self._now is not None:
            self._update(step=step)

    def require_own(self) -> None:
        """Raise ResourceError if another job has begun in the folder since: its file system may have no locks."""
        now = self.read()
        if self._now is not None and now is not None and now.attempt != self._now.attempt:
            hint = "This job has stopped, and has replaced nothing of the other one."
            raise ResourceError("another job in this folder", "one job", file=self.path.parent, hint=hint)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record how the block ends. An error before `begin` changes nothing: the run is as it was."""
        try:
            yield
        except BaseException as error:
            with suppress(JitkitError):
                self._record_error(error)
            raise
        if parallel.is_main_process():
            self._update(state="finished", exit_code=0)

    def _record_error(self, error: BaseException) -> None:
        """Record an error in the main process, or in another one if the main process has been killed."""
        if self._now is None:
            return
        if parallel.is_main_process():
            self._update(**_end(error))
            return
        with suppress(Timeout, OSError), FileLock(self.path.parent / LOCK, timeout=0):
            now = self.read()
            if now is not None and (now.state, now.attempt) == ("running", self._now.attempt):
                self._update(step=now.step, **_end(error))

    def _update(self, **changes: object) -> None:
        self.require_own()
        assert self._now is not None
        self._now = self._now.model_copy(update={"time": _time(), **changes})
        write_document(self.path, self._now)


def _end(error: BaseException) -> dict[str, object]:
    """Return the keys of `RunState` for a run that ends with `error`."""
    if isinstance(error, Stopped):
        return {"state": "stopped", "exit_code": error.code}
    if isinstance(error, KeyboardInterrupt):
        return {"state": "stopped", "exit_code": 128 + signal.SIGINT}
    if printed := parallel.reported():  # another process has ended first, and knows the reason
        return {"state": "failed", "exit_code": printed[0], "error": printed[1]}
    if not isinstance(error, Exception):
        return {"state": "failed", "exit_code": 1}
    known = as_jitkit_error(error)
    return {"state": "failed", "exit_code": known.code, "error": "\n".join(known.lines())}


def _time() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

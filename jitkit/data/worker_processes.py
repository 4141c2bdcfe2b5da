"""Running work in several processes, which end with this one, whatever ends it."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from multiprocessing import connection, get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from multiprocessing.sharedctypes import RawArray
from typing import Any, NoReturn

from jitkit.errors import JitkitError, PluginError, Problem, ResourceError, ran_out_of_memory

STOP_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
POLL = 0.2  # seconds between two reports of progress
MEMORY_HINT = "Use fewer --workers, or close other programs."

Work = Callable[[Sequence[int], Callable[[int], None]], None]
"""Called with the numbers of tasks and a function that reports how much is done."""


def run_in_processes(work: Work, shares: Sequence[Sequence[int]], report: Callable[[int], None]) -> None:
    """Call `work` with each share in a process of its own, and `report` with the sum of what they have done.

    The first error of a process is raised here, and the others are killed. Raises ResourceError for a process that
    was killed, PluginError if `work` cannot be sent to a process. Signals to stop must be handled here: workers ignore them.
    """
    context, done = get_context("spawn"), RawArray("q", len(shares))
    errors = dict[SpawnProcess, Connection]()  # of the processes that were started
    try:
        for index, share in enumerate(shares):
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(work, share, done, index, sender), daemon=True)
            _start(process)
            errors[process] = receiver
            sender.close()
        _wait(errors, lambda: report(sum(done)))
    finally:
        for process in errors:
            process.kill()
        for process, receiver in errors.items():
            process.join()
            receiver.close()


def _wait(errors: Mapping[SpawnProcess, Connection], report: Callable[[], None]) -> None:
    """Return when all processes have ended. Raises the error of the first one that fails."""
    running = list(errors)
    while running:
        connection.wait([process.sentinel for process in running], POLL)
        report()
        for process in [process for process in running if process.exitcode is not None]:
            running.remove(process)
            if process.exitcode:
                _fail(process.exitcode, errors[process])


def _start(process: SpawnProcess) -> None:
    try:
        with _signals_wait():
            process.start()
    except (AttributeError, TypeError) as error:  # raised by pickle
        hint = "Use --workers 1, or a plugin whose components are importable classes."
        raise PluginError(f"{type(error).__name__}: {error}", "parts that a process can receive", hint=hint) from error


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Hold back signals to stop; processes started meanwhile hold them back until they ignore them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # here, because its own start lets signals through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _fail(code: int, receiver: Connection) -> NoReturn:
    """Raise the error that a process has sent before it ended."""
    try:
        kind, problems = json.loads(receiver.recv_bytes())
    except EOFError:
        cause = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        hint = f"If memory was short: {MEMORY_HINT} What is finished is kept: repeat the command."
        raise ResourceError(f"a worker process that {cause}", "one that finishes", hint=hint) from None
    known = {error.__name__: error for error in JitkitError.__subclasses__()}
    if kind not in known:
        raise RuntimeError(f"{kind} in a worker process: {problems[0]['found']}")
    raise known[kind](problems=[Problem(**problem) for problem in problems])


def _work(work: Work, share: Sequence[int], done: Any, index: int, sender: Connection) -> None:
    """Run in a worker process: do the work, or send the error and exit with code 1."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def report(amount: int) -> None:
        done[index] = amount

    try:
        work(share, report)
    except BaseException as error:
        sender.send_bytes(json.dumps(_as_json(error)).encode())
        raise SystemExit(1) from None


def _as_json(error: BaseException) -> tuple[str, list[dict[str, Any]]]:
    if ran_out_of_memory(error):
        error = ResourceError("not enough memory", "memory for each worker process", hint=MEMORY_HINT)
    if isinstance(error, JitkitError):
        return type(error).__name__, [asdict(problem) for problem in error.problems]
    return type(error).__name__, [asdict(Problem(str(error)))]


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

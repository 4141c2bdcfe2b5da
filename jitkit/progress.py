"""What a person sees of a run: a bar on a terminal, a plain line every few seconds elsewhere; always on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TransferSpeedColumn,
)

LINE_EVERY = 5.0  # seconds between plain lines
SMOOTHING = 0.9  # of the seconds a step takes


class Display(Protocol):
    """Shows the course of a run."""

    def __enter__(self) -> Self:
        """Start showing."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""
        ...

    def step(self, values: Mapping[str, float]) -> None:
        """Show the numbers of a step."""
        ...

    def validated(self, values: Mapping[str, float]) -> None:
        """Show the numbers of a validation."""
        ...


@contextmanager
def preparing(console: Console) -> Iterator[Callable[[int], None]]:
    """Show, on a terminal only, how much text is tokenised; yields the function to be told of bytes."""
    columns = (SpinnerColumn(), TextColumn("preparing text"), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda num_bytes: bar.advance(task, num_bytes)


def display(console: Console, num_steps: int, num_epochs: int) -> Display:
    """Return a bar for a terminal, lines for anything else."""
    kind = Bar if console.is_terminal else Lines
    return kind(console, num_steps, num_epochs)


class _Clock:
    """Seconds a step, smoothed, and what they make of the rest."""

    def __init__(self, num_steps: int) -> None:
        self._num_steps = num_steps
        self._seconds: float | None = None

    def left(self, values: Mapping[str, float]) -> str:
        seconds = values["seconds"]
        self._seconds = seconds if self._seconds is None else SMOOTHING * self._seconds + (1 - SMOOTHING) * seconds
        return str(timedelta(seconds=round(self._seconds * (self._num_steps - values["step"]))))


class Bar:
    """A progress bar with loss, tokens a second and time left."""

    def __init__(self, console: Console, num_steps: int, num_epochs: int) -> None:
        self._clock = _Clock(num_steps)
        self._num_epochs = num_epochs
        self._progress = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("loss {task.fields[loss]}"),
            TextColumn("validation {task.fields[validation]}"),
            TextColumn("{task.fields[speed]} tokens/s"),
            TextColumn("{task.fields[left]} left"),
            console=console,
        )
        self._task = self._progress.add_task(
            "", total=num_steps, epoch="-", loss="-", validation="-", speed="-", left="-"
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def step(self, values: Mapping[str, float]) -> None:
        """Show the numbers of a step."""
        self._progress.update(
            self._task,
            completed=values["step"],
            epoch=f"{values['epoch']:.0f}/{self._num_epochs}",
            loss=f"{values['loss']:.4f}",
            speed=_thousands(values["tokens_per_second"]),
            left=self._clock.left(values),
        )

    def validated(self, values: Mapping[str, float]) -> None:
        """Show the numbers of a validation."""
        self._progress.update(self._task, validation=f"{values['validation_loss']:.4f}")


class Lines:
    """A line every few seconds, and one a validation."""

    def __init__(self, console: Console, num_steps: int, num_epochs: int) -> None:
        self._console = console
        self._clock = _Clock(num_steps)
        self._num_steps = num_steps
        self._num_epochs = num_epochs
        self._last = float("-inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def step(self, values: Mapping[str, float]) -> None:
        """Show the numbers of a step."""
        left = self._clock.left(values)
        if time.monotonic() - self._last >= LINE_EVERY or values["step"] == self._num_steps:
            self._last = time.monotonic()
            self._console.print(
                f"step {values['step']:.0f}/{self._num_steps}  epoch {values['epoch']:.0f}/{self._num_epochs}"
                f"  loss {values['loss']:.4f}  lr {values['lr']:.2e}"
                f"  {_thousands(values['tokens_per_second'])} tokens/s  {left} left"
            )

    def validated(self, values: Mapping[str, float]) -> None:
        """Show the numbers of a validation."""
        best = ", the lowest so far" if values["validation_loss"] <= values["best_loss"] else ""
        self._console.print(
            f"step {values['step']:.0f}/{self._num_steps}  validation loss {values['validation_loss']:.4f}{best}"
        )


def _thousands(value: float) -> str:
    return f"{value / 1000:.1f}k" if value >= 1000 else f"{value:.0f}"

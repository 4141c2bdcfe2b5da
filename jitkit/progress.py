"""Progress on stderr: bars on a terminal, and for training a line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.text import Text

LINE_INTERVAL = 5.0  # seconds between lines
SMOOTHING = 0.9  # of the seconds per step

Progress = Callable[[str, int, int], None]
"""Called with (task, done, total) as a task advances. If the total is unknown, it is 0 and `done` counts bytes."""


def silent(task: str, done: int, total: int) -> None:
    """Show nothing."""


@contextmanager
def progress_bars(console: Console, *, hidden: bool = False) -> Iterator[Progress]:
    """Yield a function that shows one bar per task while the context is open, on a terminal only."""
    columns = (TextColumn("{task.description}"), BarColumn(), _Amount())
    with Bars(*columns, console=console, transient=True, disable=hidden or not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def show(task: str, done: int, total: int) -> None:
            if task not in tasks:
                tasks[task] = bars.add_task(task, total=total or None)
            bars.update(tasks[task], completed=done, total=total or None)

        yield show


class _Amount(ProgressColumn):
    """Percentage and remaining time; bytes and bytes per second for a task without a total."""

    def render(self, task: Task) -> Text:
        if task.total is None:
            return Text(f"{decimal(int(task.completed))}  {decimal(int(task.speed or 0))}/s")
        left = "-:--:--" if task.time_remaining is None else timedelta(seconds=int(task.time_remaining))
        return Text(f"{task.percentage:3.0f} %  {left}")


class Display(Protocol):
    """Shows the progress of a training run."""

    def step(self, values: Mapping[str, float]) -> None:
        """Show the metrics of a step."""
        ...

    def validated(self, values: Mapping[str, float]) -> None:
        """Show the metrics of a validation."""
        ...


@contextmanager
def display(console: Console, num_steps: int, num_epochs: int) -> Iterator[Display]:
    """Yield a progress bar on a terminal, and a display that prints lines elsewhere."""
    if not console.is_terminal:
        yield Lines(console, num_steps, num_epochs)
        return
    with Bars(
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TextColumn("loss {task.fields[loss]}"),
        TextColumn("validation {task.fields[validation]}"),
        TextColumn("{task.fields[speed]} tokens/s"),
        TextColumn("{task.fields[left]} left"),
        console=console,
    ) as bars:
        task = bars.add_task("", total=num_steps, epoch="-", loss="-", validation="-", speed="-", left="-")
        yield _Bar(bars, task, num_steps, num_epochs)


class _RemainingTime:
    """Estimates the remaining time of a run from the smoothed time per step."""

    def __init__(self, num_steps: int) -> None:
        self._num_steps = num_steps
        self._seconds: float | None = None

    def update(self, values: Mapping[str, float]) -> str:
        seconds = values["seconds"]
        self._seconds = seconds if self._seconds is None else SMOOTHING * self._seconds + (1 - SMOOTHING) * seconds
        return str(timedelta(seconds=round(self._seconds * (self._num_steps - values["step"]))))


class _Bar:
    """A progress bar with loss, tokens per second and remaining time."""

    def __init__(self, bars: Bars, task: TaskID, num_steps: int, num_epochs: int) -> None:
        self._bars = bars
        self._task = task
        self._remaining = _RemainingTime(num_steps)
        self._num_epochs = num_epochs

    def step(self, values: Mapping[str, float]) -> None:
        self._bars.update(
            self._task,
            completed=values["step"],
            epoch=f"{values['epoch']:.0f}/{self._num_epochs}",
            loss=f"{values['loss']:.4f}",
            speed=_thousands(values["tokens_per_second"]),
            left=self._remaining.update(values),
        )

    def validated(self, values: Mapping[str, float]) -> None:
        self._bars.update(self._task, validation=f"{values['validation_loss']:.4f}")


class Lines:
    """Prints a line every few seconds, and one per validation."""

    def __init__(self, console: Console, num_steps: int, num_epochs: int) -> None:
        self._console = console
        self._remaining = _RemainingTime(num_steps)
        self._num_steps = num_steps
        self._num_epochs = num_epochs
        self._printed_at = float("-inf")

    def step(self, values: Mapping[str, float]) -> None:
        """Print the metrics of a step if enough time has passed, and always those of the last step."""
        left = self._remaining.update(values)
        if time.monotonic() - self._printed_at >= LINE_INTERVAL or values["step"] == self._num_steps:
            self._printed_at = time.monotonic()
            self._console.print(
                f"step {values['step']:.0f}/{self._num_steps}  epoch {values['epoch']:.0f}/{self._num_epochs}"
                f"  loss {values['loss']:.4f}  lr {values['lr']:.2e}"
                f"  {_thousands(values['tokens_per_second'])} tokens/s  {left} left"
            )

    def validated(self, values: Mapping[str, float]) -> None:
        """Print the validation loss."""
        best = ", lowest so far" if values["validation_loss"] <= values["best_loss"] else ""
        self._console.print(
            f"step {values['step']:.0f}/{self._num_steps}  validation loss {values['validation_loss']:.4f}{best}"
        )


def _thousands(value: float) -> str:
    return f"{value / 1000:.1f}k" if value >= 1000 else f"{value:.0f}"

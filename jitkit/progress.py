"""Progress on stderr: bars on a terminal, and for training a line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

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


@dataclass
class Counter:
    """Counts up a task of `total` units."""

    progress: Progress
    task: str
    total: int
    done: int = 0

    def add(self, amount: int) -> None:
        """Report that `amount` more units are done."""
        self.done += amount
        self.progress(self.task, self.done, self.total)

    def per_step(self, amount: int) -> Callable[[object], None]:
        """Return a sampler's `on_step` that adds `amount` at each step."""

        def on_step(step: object) -> None:
            del step
            self.add(amount)

        return on_step


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


class Display:
    """Shows the progress of a training run: a bar on a terminal, lines elsewhere."""

    def __init__(self, console: Console, num_steps: int, num_epochs: int, bars: Bars | None = None) -> None:
        self._console, self._bars = console, bars
        self._num_steps, self._num_epochs = num_steps, num_epochs
        self._seconds: float | None = None  # per step, smoothed
        self._printed_at = float("-inf")
        if bars is not None:
            bars.add_task("", total=num_steps, epoch="-", loss="-", validation="-", speed="-", left="-")

    def step(self, values: Mapping[str, float]) -> None:
        """Show the metrics of a step. Lines are printed every few seconds, and after the last step."""
        step, before = int(values["step"]), self._seconds or values["seconds"]
        self._seconds = SMOOTHING * before + (1 - SMOOTHING) * values["seconds"]
        left = str(timedelta(seconds=round(self._seconds * (self._num_steps - step))))
        rate = values["tokens_per_second"]
        speed = f"{rate / 1000:.1f}k" if rate >= 1000 else f"{rate:.0f}"
        epoch, loss = f"{values['epoch']:.0f}/{self._num_epochs}", f"{values['loss']:.4f}"
        if self._bars is not None:
            self._bars.update(self._bars.task_ids[0], completed=step, epoch=epoch, loss=loss, speed=speed, left=left)
        elif time.monotonic() - self._printed_at >= LINE_INTERVAL or step == self._num_steps:
            self._printed_at = time.monotonic()
            self._console.print(
                f"step {step}/{self._num_steps}  epoch {epoch}  loss {loss}  lr {values['lr']:.2e}"
                f"  {speed} tokens/s  {left} left"
            )

    def validated(self, values: Mapping[str, float]) -> None:
        """Show the metrics of a validation."""
        loss = f"{values['validation_loss']:.4f}"
        if self._bars is not None:
            self._bars.update(self._bars.task_ids[0], validation=loss)
            return
        best = ", lowest so far" if values["validation_loss"] <= values["best_loss"] else ""
        self._console.print(f"step {values['step']:.0f}/{self._num_steps}  validation loss {loss}{best}")


@contextmanager
def display(console: Console, num_steps: int, num_epochs: int) -> Iterator[Display]:
    """Yield the display of a training run."""
    if not console.is_terminal:
        yield Display(console, num_steps, num_epochs)
        return
    fields = (
        "{task.completed:.0f}/{task.total:.0f}",
        "loss {task.fields[loss]}",
        "validation {task.fields[validation]}",
    )
    columns = [TextColumn(text) for text in (*fields, "{task.fields[speed]} tokens/s", "{task.fields[left]} left")]
    with Bars(TextColumn("epoch {task.fields[epoch]}"), BarColumn(), *columns, console=console) as bars:
        yield Display(console, num_steps, num_epochs, bars)

"""Progress on stderr: bars on a terminal, and occasional lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.text import Text

from jitkit.errors import visible
from jitkit.terminal import is_interactive, print_note

FIRST_LINE, LINE_INTERVAL = 2.0, 10.0  # seconds until the first line of a command, and between lines
TRAINING_INTERVAL = 5.0  # seconds between the lines of a training run
SMOOTHING = 0.9  # of the seconds per step
MAX_SAMPLE = 120  # characters of a sample

Progress = Callable[[str, int, int], None]
"""Called with (task, done, total) as a task advances. If the total is unknown, it is 0 and `done` counts bytes, or is also 0."""


def silent(task: str, done: int, total: int) -> None:
    """Show nothing."""


@dataclass
class Counter:
    """Counts up a task of `total` units that `num_sharing` processes share. Each process does about as much as the others."""

    progress: Progress
    task: str
    total: int
    num_sharing: int = 1
    done: int = 0

    def add(self, amount: int) -> None:
        """Report that this process has done `amount` more units."""
        self.done = min(self.total, self.done + amount * self.num_sharing)
        self.progress(self.task, self.done, self.total)

    def per_step(self, amount: int) -> Callable[[object], None]:
        """Return a sampler's `on_step` that adds `amount` at each step."""

        def on_step(step: object) -> None:
            del step
            self.add(amount)

        return on_step


class TaskProgress:
    """Shows the progress of tasks on a console. This one shows nothing."""

    def __call__(self, task: str, done: int, total: int) -> None:
        """Show that `done` of `total` units of `task` are done; see `Progress`."""

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Keep the terminal free for other output while the context is open."""
        yield


class TaskBars(TaskProgress):
    """One bar per task, for a terminal."""

    def __init__(self, bars: Bars) -> None:
        self._bars, self._tasks = bars, dict[str, TaskID]()

    def __call__(self, task: str, done: int, total: int) -> None:
        """Move the bar of `task`."""
        if task not in self._tasks:
            self._tasks[task] = self._bars.add_task(task, total=total or None)
        self._bars.update(self._tasks[task], completed=done, total=total or None)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hide the bars while the context is open."""
        self._bars.stop()
        try:
            yield
        finally:
            self._bars.start()


class TaskLines(TaskProgress):
    """Occasional lines for a pipe or a file, also while a task does not report. Short tasks print nothing."""

    def __init__(self, console: Console) -> None:
        self._console, self._begun, self._latest = console, dict[str, float](), ("", 0, 0)
        self._next_line = time.monotonic() + FIRST_LINE
        self._closed = threading.Event()
        self._clock = threading.Thread(target=self._tick, daemon=True)
        self._clock.start()

    def __call__(self, task: str, done: int, total: int) -> None:
        """Remember how far a task is, for the next line."""
        self._begun.setdefault(task, time.monotonic())
        self._latest = (task, done, total)

    def close(self) -> None:
        """Print no more lines."""
        self._closed.set()
        self._clock.join()

    def _tick(self) -> None:
        while not self._closed.wait(max(0.1, self._next_line - time.monotonic())):
            task, done, total = self._latest
            if task and time.monotonic() >= self._next_line:
                self._next_line = time.monotonic() + LINE_INTERVAL
                print_note(self._console, f"{task}: {_amount(done, total, time.monotonic() - self._begun[task])}")


def _amount(done: int, total: int, seconds: float) -> str:
    """Return the share that is done and the time that is left; without a total, the bytes; without either, the time."""
    if not total:
        return decimal(done) if done else str(timedelta(seconds=int(seconds)))
    left = timedelta(seconds=round(seconds * (total - done) / done)) if done and seconds else "-:--:--"
    return f"{done / total:.0%}, {left} left"


@contextmanager
def progress_bars(console: Console, *, hidden: bool = False) -> Iterator[TaskProgress]:
    """Yield a function that shows the progress of tasks while the context is open: bars on a terminal, else lines."""
    if hidden or console.quiet:
        yield TaskProgress()
    elif is_interactive(console):
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), _AmountColumn())
        with Bars(*columns, console=console, transient=True, redirect_stdout=False) as bars:
            yield TaskBars(bars)
    else:
        with closing(TaskLines(console)) as lines:
            yield lines


class _AmountColumn(ProgressColumn):
    """What `_amount` returns; for bytes also how many per second."""

    def render(self, task: Task) -> Text:
        if task.total is None and task.completed:
            return Text(f"{decimal(int(task.completed))}  {decimal(int(task.speed or 0))}/s")
        if task.total is None:
            return Text(_amount(0, 0, task.elapsed or 0))
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
        elif time.monotonic() - self._printed_at >= TRAINING_INTERVAL or step == self._num_steps:
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

    def sample(self, step: int, text: str) -> None:
        """Show the beginning of a generated text, in one line."""
        shown = visible(text)
        if len(shown) > MAX_SAMPLE:
            shown = shown[: MAX_SAMPLE - 3] + "..."
        self._console.print(f"step {step}/{self._num_steps}  sample: {shown}")


@contextmanager
def display(console: Console, num_steps: int, num_epochs: int) -> Iterator[Display]:
    """Yield the display of a training run."""
    if console.quiet or not is_interactive(console):
        yield Display(console, num_steps, num_epochs)
        return
    fields = (
        "{task.completed:.0f}/{task.total:.0f}",
        "loss {task.fields[loss]}",
        "validation {task.fields[validation]}",
    )
    columns = [
        TextColumn(text, markup=False)
        for text in (*fields, "{task.fields[speed]} tokens/s", "{task.fields[left]} left")
    ]
    first = (TextColumn("epoch {task.fields[epoch]}", markup=False), BarColumn())
    with Bars(*first, *columns, console=console, redirect_stdout=False) as bars:
        yield Display(console, num_steps, num_epochs, bars)
        bars.tasks[0].visible = bars.tasks[0].completed > 0  # no empty bar for a run that was already finished

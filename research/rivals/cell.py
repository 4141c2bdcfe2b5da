"""A cell of the comparison: one contestant with one seed. It is trained, writes, and fills in; whatever is there already stays."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from jitkit.storage.atomic import make_folder
from research.rivals.asked import Asked
from research.rivals.contestants import Contestant, Model, Setting, Task
from research.rivals.record import Record

HIDDEN = (0.15, 0.5)  # shares of the tokens of a window that infilling hides


@dataclass(frozen=True)
class Cell:
    """One contestant, one seed, one folder."""

    task: Task
    contestant: Contestant
    seed: int
    folder: Path

    @cached_property
    def record(self) -> Record:
        """What was found of it so far."""
        return Record(self.folder / "results.json")

    @cached_property
    def model(self) -> Model:
        """The trained model; read only where something is left to measure."""
        return self.contestant.load(self.folder, self.seed)

    def measure(self, asked: Asked) -> None:
        """Train the model and measure it, as far as the record lacks it."""
        make_folder(self.folder)
        self.record.once("training", self._train)
        for evaluations in self.contestant.evaluations(asked.evaluations):
            for label, setting in self.contestant.settings(asked).items():
                name = texts_name(evaluations, label, asked.texts)
                self._note(name)
                self.record.once(name, partial(self._write, evaluations, setting, asked.texts))
        for evaluations, (label, setting) in product(asked.infilling, self.contestant.infill_settings(asked).items()):
            for share in HIDDEN:
                name = infilling_name(evaluations, share, label, asked.texts)
                self._note(name)
                self.record.once(name, partial(self._infill, evaluations, share, setting, asked.texts))

    def _note(self, name: str) -> None:
        if name not in self.record.results:
            self.task.console.print(f"{self.contestant.name}, seed {self.seed}: {name}")

    def _train(self) -> dict[str, Any]:
        self.task.console.print(f"{self.contestant.name}, seed {self.seed}: training")
        return {"seconds_a_step": self.contestant.train(self.folder, self.seed), "parameters": self._num_parameters()}

    def _num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.network.parameters())

    def _write(self, evaluations: int, setting: Setting, num: int) -> dict[str, Any]:
        model = self.model  # read before the clock starts
        started = time.perf_counter()
        with counted(model.network) as calls:
            tokens = model.write(range(num), evaluations, setting)
        seconds = (time.perf_counter() - started) / num
        return {"texts": texts_of(self.task, tokens), "evaluations": calls(), "seconds_a_text": seconds}

    def _infill(self, evaluations: int, share: float, setting: Setting, num: int) -> float | None:
        tokens = self.task.held_out(num)
        hidden = hide(tokens, share)
        device = self.task.device
        filled = self.model.infill(tokens.to(device), hidden.to(device), evaluations, setting)
        return None if filled is None else (filled.cpu() == tokens)[hidden].float().mean().item()


def texts_name(evaluations: int, label: str, num: int) -> str:
    """Return what a record calls `num` texts of `evaluations` evaluations at a setting."""
    return f"{num} texts, {evaluations} evaluations, {label}"


def infilling_name(evaluations: int, share: float, label: str, num: int) -> str:
    """Return what a record calls the accuracy in `num` windows with this share hidden, filled in at a setting."""
    return f"{num} windows, {share:.0%} hidden, at most {evaluations} evaluations, {label}"


def texts_of(task: Task, tokens: Tensor) -> list[str]:
    """Return the texts of windows [B, L], each up to its first eos."""
    rows, eos = tokens.tolist(), task.tokenizer.eos_id
    return [task.tokenizer.decode(row[: row.index(eos)] if eos in row else row) for row in rows]


def hide(tokens: Tensor, share: float) -> Tensor:
    """Return which of `tokens` [B, L] are hidden: in each row the same number, at random places that never change."""
    order = torch.rand(tokens.shape, generator=torch.Generator().manual_seed(0)).argsort(1)
    return order < max(1, round(share * tokens.shape[1]))


@contextmanager
def counted(network: nn.Module) -> Iterator[Callable[[], int]]:
    """Yield a function that tells how often `network` was called since."""
    calls: list[None] = []

    def count(*_: object) -> None:
        calls.append(None)

    hook = network.register_forward_hook(count)
    try:
        yield lambda: len(calls)
    finally:
        hook.remove()

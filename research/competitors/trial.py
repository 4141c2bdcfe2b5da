"""A trial: one competitor with one seed, in one folder. Results that exist are not computed again."""

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
from research.competitors.competitor import Competitor, Setting, TrainedModel
from research.competitors.result_file import ResultFile
from research.competitors.sampling_grid import SamplingGrid
from research.competitors.shared_recipe import SharedRecipe

HIDDEN_SHARES = (0.15, 0.5)  # of the tokens of a window, for infilling


@dataclass(frozen=True)
class Trial:
    """One competitor, one seed, one folder."""

    recipe: SharedRecipe
    competitor: Competitor
    seed: int
    folder: Path

    @cached_property
    def file(self) -> ResultFile:
        """The results so far."""
        return ResultFile(self.folder / "results.json")

    @cached_property
    def model(self) -> TrainedModel:
        """The trained model, loaded only if something is left to measure."""
        return self.competitor.load(self.folder, self.seed)

    def run(self, grid: SamplingGrid) -> None:
        """Train the model and measure what is missing in the results."""
        make_folder(self.folder)
        self.file.once("training", self._train)
        for evaluations in self.competitor.evaluations(grid.evaluations):
            for label, setting in self.competitor.sample_settings(grid).items():
                name = texts_key(evaluations, label, grid.texts)
                self._announce(name)
                self.file.once(name, partial(self._generate, evaluations, setting, grid.texts))
        settings = self.competitor.infill_settings(grid).items()
        for evaluations, (label, setting), share in product(grid.infill_evaluations, settings, HIDDEN_SHARES):
            name = infill_key(evaluations, share, label, grid.texts)
            self._announce(name)
            self.file.once(name, partial(self._infill, evaluations, share, setting, grid.texts))

    def _announce(self, name: str) -> None:
        if name not in self.file.results:
            self.recipe.console.print(f"{self.competitor.name}, seed {self.seed}: {name}")

    def _train(self) -> dict[str, Any]:
        self.recipe.console.print(f"{self.competitor.name}, seed {self.seed}: training")
        seconds = self.competitor.train(self.folder, self.seed)
        num_parameters = sum(parameter.numel() for parameter in self.model.network.parameters())
        return {"seconds_a_step": seconds, "parameters": num_parameters}

    def _generate(self, evaluations: int, setting: Setting, num: int) -> dict[str, Any]:
        model = self.model  # loaded before the clock starts
        started = time.perf_counter()
        with count_calls(model.network) as num_calls:
            tokens = model.generate(range(num), evaluations, setting)
        seconds = (time.perf_counter() - started) / num
        return {"texts": decode(self.recipe, tokens), "evaluations": num_calls(), "seconds_a_text": seconds}

    def _infill(self, evaluations: int, share: float, setting: Setting, num: int) -> float | None:
        tokens = self.recipe.held_out(num)
        hidden = hide(tokens, share)
        device = self.recipe.device
        filled = self.model.infill(tokens.to(device), hidden.to(device), evaluations, setting)
        return None if filled is None else (filled.cpu() == tokens)[hidden].float().mean().item()


def texts_key(evaluations: int, label: str, num: int) -> str:
    """Return the key of `num` texts generated with `evaluations` evaluations at the setting called `label`."""
    return f"{num} texts, {evaluations} evaluations, {label}"


def infill_key(evaluations: int, share: float, label: str, num: int) -> str:
    """Return the key of the infilling accuracy in `num` windows with this share hidden, at the setting called `label`."""
    return f"{num} windows, {share:.0%} hidden, at most {evaluations} evaluations, {label}"


def decode(recipe: SharedRecipe, tokens: Tensor) -> list[str]:
    """Return the texts of windows [B, L], each up to its first eos."""
    rows, eos = tokens.tolist(), recipe.tokenizer.eos_id
    return [recipe.tokenizer.decode(row[: row.index(eos)] if eos in row else row) for row in rows]


def hide(tokens: Tensor, share: float) -> Tensor:
    """Return a mask [B, L] that hides the same number of random places in each row. The places never change."""
    order = torch.rand(tokens.shape, generator=torch.Generator().manual_seed(0)).argsort(1)
    return order < max(1, round(share * tokens.shape[1]))


@contextmanager
def count_calls(network: nn.Module) -> Iterator[Callable[[], int]]:
    """Yield a function that returns the number of calls of `network` since."""
    calls: list[None] = []

    def count(*_: object) -> None:
        calls.append(None)

    hook = network.register_forward_hook(count)
    try:
        yield lambda: len(calls)
    finally:
        hook.remove()

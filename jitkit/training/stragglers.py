"""Which processes compute more slowly than the others: all wait for the slowest one in every step."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from statistics import median_low

import torch
from torch import nn

from jitkit import parallel

EVERY = 100  # steps between comparisons
MEASURED = 10  # steps before a comparison that are measured
SLOW = 1.2  # times the median
COMPUTED = {"data", "forward"}  # parts of a step; in backward passes, processes wait for each other all the time


class Stragglers:
    """Measures how long this process computes in forward passes, and compares all processes.

    Where a process waits for the weights of others, its time does not count. `lap` is a `Lap` of training tasks.
    """

    def __init__(self, network: nn.Module, device: torch.device, note: Callable[[str], None]) -> None:
        self._device, self._note = device, note
        self._laps: list[tuple[str, float | torch.cuda.Event]] | None = None  # of a step that is measured
        self._seconds: list[float] = []
        self._warned: set[int] = set()
        for module in network.modules():
            if hasattr(module, "unshard"):  # its weights are gathered by a hook between these two
                module.register_forward_pre_hook(lambda *_: self.lap("forward"), prepend=True)
                module.register_forward_pre_hook(lambda *_: self.lap("waiting"))

    def lap(self, part: str) -> None:
        """Note that a part of a step is done."""
        if torch.compiler.is_compiling() or self._laps is None:
            return
        if self._device.type != "cuda":
            self._laps.append((part, time.perf_counter()))
            return
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        self._laps.append((part, event))

    def finished(self, step: int) -> None:
        """Note that the device has finished a step, and warn of slow processes every `EVERY` steps. All processes call this."""
        if parallel.world_size() == 1:
            return
        if self._laps:
            self._seconds.append(computing_seconds(self._laps))
        self._laps = [] if (step + 1) % EVERY == 0 or (step + 1) % EVERY > EVERY - MEASURED else None
        if step % EVERY == 0 and self._seconds:
            self._warn(step, slow_ranks(parallel.gather_numbers([median_low(self._seconds)])))
            self._seconds.clear()

    def _warn(self, step: int, slow: Mapping[int, float]) -> None:
        for rank, ratio in slow.items():
            if rank not in self._warned:
                where = f"{parallel.named([rank])} on {parallel.host(rank)}"
                self._note(
                    f"warning: step {step}: {where} takes {ratio:.2f} times as long as the median; all wait for it"
                )
        self._warned = set(slow)


def computing_seconds(laps: Sequence[tuple[str, float | torch.cuda.Event]]) -> float:
    """Return the length of all parts in `COMPUTED`, each from the end of the part before."""
    return sum(_between(start, end) for (_, start), (part, end) in pairwise(laps) if part in COMPUTED)


def _between(start: float | torch.cuda.Event, end: float | torch.cuda.Event) -> float:
    if isinstance(start, torch.cuda.Event):
        assert isinstance(end, torch.cuda.Event)
        return float(start.elapsed_time(end)) / 1000  # the device has done both
    assert isinstance(end, float)
    return end - start


def slow_ranks(seconds: Sequence[float]) -> dict[int, float]:
    """Return the ranks whose time is more than `SLOW` times the median (the lower one of two), and their ratio to it."""
    typical = median_low(seconds)
    return {rank: time / typical for rank, time in enumerate(seconds) if typical and time > SLOW * typical}

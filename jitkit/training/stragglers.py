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
Time = float | torch.cuda.Event
COMPUTED = {"data", "forward"}  # parts of a step; in backward passes, processes wait for each other all the time


class Stragglers:
    """Compares the computing time of all processes. `lap` is a `Lap` of training tasks."""

    def __init__(self, network: nn.Module, device: torch.device, note: Callable[[str], None]) -> None:
        self._stopwatch, self._note = Stopwatch(network, device), note
        self.lap = self._stopwatch.lap
        self._seconds: list[float] = []
        self._warned: set[int] = set()

    def finished(self, step: int) -> None:
        """Note that the device has finished a step, and warn of slow processes every `EVERY` steps. All processes call this."""
        if parallel.world_size() == 1:
            return
        if (seconds := self._stopwatch.stop()) is not None:
            self._seconds.append(seconds)
        if -(step + 1) % EVERY < MEASURED:
            self._stopwatch.start()
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


class Stopwatch:
    """Measures how long this process computes in the forward passes of a step.

    Where it waits for the weights of others, its time does not count.
    """

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self._device = device
        self._laps: list[tuple[str, Time]] | None = None  # None: it does not measure
        for module in network.modules():
            if hasattr(module, "unshard"):  # its weights are gathered by a hook between these two
                module.register_forward_pre_hook(lambda *_: self.lap("forward"), prepend=True)
                module.register_forward_pre_hook(lambda *_: self.lap("waiting"))

    def start(self) -> None:
        """Measure the next step."""
        self._laps = []

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

    def stop(self) -> float | None:
        """Return the seconds in all parts in `COMPUTED`, each from the end of the part before; None if not started.

        The device has to have done them.
        """
        laps, self._laps = self._laps, None
        if laps is None:
            return None
        return sum(_between(start, end) for (_, start), (part, end) in pairwise(laps) if part in COMPUTED)


def _between(start: Time, end: Time) -> float:
    if isinstance(start, float) and isinstance(end, float):
        return end - start
    assert isinstance(start, torch.cuda.Event)
    assert isinstance(end, torch.cuda.Event)
    return float(start.elapsed_time(end)) / 1000


def slow_ranks(seconds: Sequence[float]) -> dict[int, float]:
    """Return the ranks whose time is more than `SLOW` times the median (the lower one of two), and their ratio to it."""
    typical = median_low(seconds)
    return {rank: time / typical for rank, time in enumerate(seconds) if typical and time > SLOW * typical}

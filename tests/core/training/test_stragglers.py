"""A process that computes more slowly than the others is named."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from jitkit.training.stragglers import Stopwatch, slow_ranks
from tests.core.training.test_lost_ranks import PLUGIN, Ranks, ranks

__all__ = ["ranks"]  # the fixture

SLEEPING = PLUGIN.replace(
    'if what == "raise":',
    'if what == "sleep":\n                import time\n\n                time.sleep(0.2 if len(PASSES) > 90 else 0)\n                return loss\n            if what == "raise":',
)


def test_a_slow_rank_takes_more_than_the_median() -> None:
    assert slow_ranks([1.0, 1.1, 1.19, 1.3]) == {}, "the lower median is 1.1"
    assert slow_ranks([1.0, 1.0, 1.0, 1.5]) == {3: 1.5}
    assert slow_ranks([1.0, 3.0]) == {1: 3.0}, "of two, the faster one is typical"
    assert slow_ranks([0.0, 0.0]) == {}, "a task that does not measure its parts"


class Gathered(nn.Linear):
    """A module that waits for its weights in a hook, as with FSDP2."""

    def __init__(self) -> None:
        super().__init__(1, 1)
        self.register_forward_pre_hook(lambda *_: time.sleep(0.3))

    def unshard(self) -> None:
        """Gather the weights."""


def test_what_a_process_waits_for_does_not_count() -> None:
    network = nn.Sequential(Gathered(), Gathered())
    stopwatch = Stopwatch(network, torch.device("cpu"))
    assert stopwatch.stop() is None
    stopwatch.start()
    stopwatch.lap("optimizer")
    time.sleep(0.1)
    stopwatch.lap("data")
    loss = network(torch.zeros(1)).sum()
    stopwatch.lap("forward")
    time.sleep(0.2)
    loss.backward()
    stopwatch.lap("backward")
    assert 0.1 <= stopwatch.stop() < 0.6


@pytest.mark.slow
def test_the_slow_rank_and_its_machine_are_named(ranks: Ranks) -> None:
    (ranks.lab.home / "failing.py").write_text(SLEEPING)
    settings = ("train.compile=off", "train.max_steps=100", "train.validate_every=50", "parallel.shard=2")
    output = ranks.run(*settings, "objective.use=failing", FAILING="1:1:sleep")
    assert ranks.process.returncode == 0, output
    (line,) = [line for line in output.splitlines() if "as long as the median" in line]
    assert line.startswith("jitkit: warning: step 100: rank 1 on ")

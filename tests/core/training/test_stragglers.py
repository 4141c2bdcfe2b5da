"""A process that computes more slowly than the others is named."""

from __future__ import annotations

import pytest

from jitkit.training.stragglers import computing_seconds, slow_ranks
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


def test_what_a_process_waits_for_does_not_count() -> None:
    laps = [
        ("optimizer", 0.0),
        ("data", 1.0),
        ("forward", 3.0),
        ("waiting", 10.0),
        ("forward", 14.0),
        ("backward", 99.0),
    ]
    assert computing_seconds(laps) == 1 + 2 + 4


@pytest.mark.slow
@pytest.mark.parametrize("shard", [1, 2])
def test_the_slow_rank_and_its_machine_are_named(ranks: Ranks, shard: int) -> None:
    (ranks.lab.home / "failing.py").write_text(SLEEPING)
    settings = ("train.compile=off", "train.max_steps=100", "train.validate_every=50", f"parallel.shard={shard}")
    output = ranks.run(*settings, "objective.use=failing", FAILING="1:1:sleep")
    assert ranks.process.returncode == 0, output
    (line,) = [line for line in output.splitlines() if "as long as the median" in line]
    assert line.startswith("jitkit: warning: step 100: rank 1 on ")

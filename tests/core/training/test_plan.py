from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitkit.manifest.schema import Train
from jitkit.training.plan import Plan


@pytest.mark.parametrize(
    ("train", "num_windows", "num_steps", "num_epochs"),
    [
        (Train(epochs=3, batch_size=6), 32, 16, 3),
        (Train(epochs=1, batch_size=64), 10, 1, 6),  # a batch is more than six passes over ten windows
        (Train(epochs=2, batch_size=4), 32, 16, 2),
        (Train(epochs=2, max_steps=5, batch_size=4), 32, 5, 1),
        (Train(max_steps=9, batch_size=4), 32, 9, 2),
    ],
)
def test_the_number_of_steps_and_epochs_follows_from_the_manifest(
    train: Train, num_windows: int, num_steps: int, num_epochs: int
) -> None:
    plan = Plan.of(train, num_windows)
    assert (plan.num_steps, plan.num_epochs) == (num_steps, num_epochs)


def test_an_epoch_ends_with_the_step_that_draws_its_last_window() -> None:
    plan = Plan(num_windows=32, batch_size=6, num_steps=16)
    assert [step for step in range(17) if plan.ends_epoch(step)] == [6, 11, 16]
    assert [plan.epoch(step) for step in (0, 1, 6, 7, 11, 12, 16)] == [0, 1, 1, 2, 2, 3, 3]
    assert [step for step in range(17) if plan.validates_at(step)] == [6, 11, 16]


def test_a_run_validates_and_saves_at_its_intervals_and_at_the_end() -> None:
    plan = Plan.of(Train(max_steps=17, batch_size=6, validate_every=3, checkpoint_every=2), num_windows=32)
    assert [step for step in range(18) if plan.validates_at(step)] == [16, 17]
    assert [step for step in range(18) if plan.checkpoints_at(step)] == [11, 17]


@given(num_windows=st.integers(1, 50), batch_size=st.integers(1, 20), num_steps=st.integers(1, 60))
def test_epochs_increase_and_end_after_all_their_windows(num_windows: int, batch_size: int, num_steps: int) -> None:
    plan = Plan(num_windows, batch_size, num_steps)
    epochs = [plan.epoch(step) for step in range(num_steps + 1)]
    assert epochs == sorted(epochs), "names of checkpoints never go back"
    ends = [step for step in range(num_steps + 1) if plan.ends_epoch(step)]
    assert len({plan.epoch(step) for step in ends}) == len(ends), "each end of an epoch has a name of its own"
    for step in ends:
        assert step * batch_size >= plan.epoch(step) * num_windows, "all its windows were drawn"
    assert plan.validates_at(num_steps)
    assert plan.checkpoints_at(num_steps)

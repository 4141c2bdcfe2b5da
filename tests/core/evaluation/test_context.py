"""The evaluation context selects windows and validates its input; metrics get finite numbers."""

from dataclasses import replace

import pytest
import torch

from jitkit.errors import InputError
from jitkit.evaluation.noise import draw_noise, window_generator
from jitkit.evaluation.runner import Scope, measure
from jitkit.testing.oracle import oracle_context, tiny_windows


def test_noise_depends_on_window_seed_and_purpose():
    first, second = tiny_windows(2)
    inputs = [(0, first, "noise"), (0, second, "noise"), (1, first, "noise"), (0, first, "walk"), (0, first, "noise")]
    drawn = [draw_noise([window_generator(*each)], 8, 2.0) for each in inputs]
    assert torch.equal(drawn[0], drawn[4])
    assert len({tuple(noise.flatten().tolist()) for noise in drawn}) == 4
    assert draw_noise([window_generator(0, first, "noise")], 64, 2.0).std().item() == pytest.approx(2, rel=0.05)


def test_times_at_the_ends_are_an_error():
    for t in (0.0, 1.0):
        with pytest.raises(InputError, match=r"eval\.times.*above 0 and below 1"):
            replace(oracle_context(tiny_windows()), times=(0.5, t))


def test_windows_that_do_not_fill_an_image_are_an_error():
    with pytest.raises(InputError, match="windows of 3 tokens"):
        oracle_context(torch.zeros(2, 3, dtype=torch.long), remembered=tiny_windows())
    with pytest.raises(InputError, match="no held-out window"):
        oracle_context(tiny_windows()[:0], remembered=tiny_windows())


def test_windows_are_evenly_spaced():
    windows = tiny_windows(9)
    context = replace(oracle_context(windows), num_windows=3)
    assert torch.equal(context.windows, windows[[0, 4, 8]])
    assert torch.equal(replace(context, num_windows=99).windows, windows)


def test_a_scope_restricts_windows_and_times():
    context = replace(oracle_context(tiny_windows(20)), times=tuple(i / 10 for i in range(1, 10)))
    assert len(Scope(limit=5).narrow(context).held_out) == 5
    assert Scope(limit=5).narrow(context).times == context.times
    quick = Scope(quick=True).narrow(context)
    assert (len(quick.held_out), len(quick.windows)) == (16, 16)
    assert quick.times == (0.2, 0.5, 0.8)
    assert Scope().narrow(context) is context


def test_seeds_of_samples_count_up_from_the_contexts_seed():
    context = replace(oracle_context(tiny_windows(5), batch_size=2), seed=7)
    assert [text.seed for text in context.samples] == [7, 8, 9, 10, 11]


def test_a_number_that_is_not_finite_is_an_error():
    class Broken:
        name = "broken"

        def measure(self, context):
            return {"loss": float("nan")}

    with pytest.raises(InputError, match=r"broken\.loss: found nan; expected a finite number"):
        measure(oracle_context(tiny_windows()), Broken())


def test_a_shared_value_is_computed_once_per_context():
    context, calls = oracle_context(tiny_windows()), []
    for _ in range(2):
        assert context.shared("value", lambda: calls.append(1) or len(calls)) == 1
    assert replace(context, seed=1).shared("value", lambda: 2) == 2

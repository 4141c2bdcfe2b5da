"""Medians, spreads and rates."""

from __future__ import annotations

import time

import pytest
import torch

from jitkit.bench.timing import MAX_REPEATS, MIN_REPEATS, Spread, as_json, measure_seconds, repeat


def test_the_slowest_time_is_the_least_rate():
    times = Spread.of([4.0, 1.0, 2.0])
    assert times == Spread(median=2.0, min=1.0, max=4.0)
    assert times.rate(8) == Spread(median=4.0, min=2.0, max=8.0)
    assert times.divided(2) == Spread(median=1.0, min=0.5, max=2.0)


def test_the_first_time_is_left_out():
    found = iter([100.0] + [1.0] * MAX_REPEATS)
    assert repeat(lambda: next(found)) == [1.0] * MAX_REPEATS


def test_what_takes_long_is_repeated_no_more_than_needed(monkeypatch):
    monkeypatch.setattr("jitkit.bench.timing.ENOUGH", 0.0)
    assert len(repeat(lambda: None)) == MIN_REPEATS


def test_what_takes_very_long_is_done_twice(monkeypatch):
    monkeypatch.setattr("jitkit.bench.timing.LONG", 0.0)
    found = iter(range(9))
    assert repeat(lambda: next(found)) == [0, 1]


def test_what_took_long_only_because_it_was_cold_is_repeated_like_anything(monkeypatch):
    monkeypatch.setattr("jitkit.bench.timing.LONG", 0.05)
    waits = iter([0.1] + [0.0] * MAX_REPEATS)

    def compiled_the_first_time() -> float:
        wait = next(waits)
        time.sleep(wait)
        return wait

    assert repeat(compiled_the_first_time) == [0.0] * MAX_REPEATS


def test_seconds_are_seconds():
    spread = measure_seconds(lambda: time.sleep(0.01), torch.device("cpu"))
    assert 0.01 <= spread.min <= spread.median <= spread.max
    assert spread.median == pytest.approx(0.01, rel=1)


def test_a_document_has_medians_with_their_spread_beside():
    assert as_json(a=Spread(2.0, 1.0, 3.0), b=4) == {"a": 2.0, "b": 4, "spread": {"a": [1.0, 3.0]}}

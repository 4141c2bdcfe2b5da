"""Medians, spreads, and rates."""

from __future__ import annotations

import time

import pytest
import torch

from jitkit.bench.timing import MAX_REPEATS, MIN_REPEATS, Spread, as_json, measure_seconds, repeat


def test_the_longest_time_is_the_lowest_rate():
    times = Spread.of([4.0, 1.0, 2.0])
    assert times == Spread(median=2.0, min=1.0, max=4.0)
    assert times.rate(8) == Spread(median=4.0, min=2.0, max=8.0)


def test_the_first_measurement_is_dropped():
    found = iter([100.0] + [1.0] * MAX_REPEATS)
    assert repeat(lambda: next(found)) == [1.0] * MAX_REPEATS


def test_slow_measurements_get_the_minimum_of_repeats(monkeypatch):
    monkeypatch.setattr("jitkit.bench.timing.ENOUGH", 0.0)
    assert len(repeat(lambda: None)) == MIN_REPEATS


def test_very_slow_measurements_are_made_twice(monkeypatch):
    monkeypatch.setattr("jitkit.bench.timing.LONG", 0.0)
    found = iter(range(9))
    assert repeat(lambda: next(found)) == [0, 1]


def test_a_slow_first_measurement_does_not_limit_the_repeats(monkeypatch):
    monkeypatch.setattr("jitkit.bench.timing.LONG", 0.05)
    waits = iter([0.1] + [0.0] * MAX_REPEATS)

    def compiled_the_first_time() -> float:
        wait = next(waits)
        time.sleep(wait)
        return wait

    assert repeat(compiled_the_first_time) == [0.0] * MAX_REPEATS


def test_seconds_are_measured_in_seconds():
    spread = measure_seconds(lambda: time.sleep(0.01), torch.device("cpu"))
    assert 0.01 <= spread.min <= spread.median <= spread.max
    assert spread.median == pytest.approx(0.01, rel=1)
    of_several = measure_seconds(lambda: time.sleep(0.01), torch.device("cpu"), calls=3)
    assert of_several.median == pytest.approx(0.01, rel=1)


def test_a_document_has_medians_and_their_spread():
    assert as_json(a=Spread(2.0, 1.0, 3.0), b=4) == {"a": 2.0, "b": 4, "spread": {"a": [1.0, 3.0]}}

"""Intervals against the printed table, and their coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest

from jitkit.ablation.t_interval import mean_and_interval, t_quantile


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (5, 2.5706), (9, 2.2622), (30, 2.0423), (1000, 1.9623)],
)
def test_quantiles_match_the_table(degrees: int, expected: float) -> None:
    assert t_quantile(0.975, degrees) == pytest.approx(expected, abs=1e-4)


def test_95_percent_of_intervals_of_three_draws_contain_the_mean() -> None:
    draws = np.random.default_rng(0).normal(5.0, 2.0, (4000, 3))
    found = [mean_and_interval(list(map(float, row))) for row in draws]
    held = np.mean([interval["low"] <= 5.0 <= interval["high"] for interval in found])
    assert held == pytest.approx(0.95, abs=0.012)


def test_the_interval_of_two_values() -> None:
    found = mean_and_interval([1.0, 3.0])
    half = 12.7062 * math.sqrt(2) / math.sqrt(2)
    assert found == pytest.approx({"mean": 2.0, "low": 2 - half, "high": 2 + half}, abs=1e-3)


def test_a_single_value_has_no_interval() -> None:
    assert mean_and_interval([2.5]) == {"mean": 2.5}

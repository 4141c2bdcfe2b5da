"""Intervals have their nominal coverage, and there are none without data."""

import numpy as np
import pytest

from jitkit.evaluation.intervals import mean_with_interval, ratio_with_interval, share_with_interval


def test_intervals_of_a_mean_have_95_percent_coverage():
    rng, covered = np.random.default_rng(0), 0
    for trial in range(200):
        found = mean_with_interval("x", rng.normal(3, 1, 50).tolist(), seed=trial)
        assert found["x_low"] < found["x"] < found["x_high"]
        covered += found["x_low"] < 3 < found["x_high"]
    assert 0.90 <= covered / 200 <= 0.98


def test_intervals_of_extreme_shares_are_not_empty():
    none, all_of_them = share_with_interval("x", [False] * 16), share_with_interval("x", [True] * 16)
    assert (none["x"], none["x_low"], all_of_them["x_high"]) == (0.0, 0.0, 1.0)
    assert none["x_high"] == pytest.approx(1 - all_of_them["x_low"]) == pytest.approx(0.194, abs=1e-3)
    rng, covered = np.random.default_rng(0), 0
    for _ in range(400):
        found = share_with_interval("x", (rng.random(40) < 0.1).tolist())
        covered += found["x_low"] < 0.1 < found["x_high"]
    assert 0.92 <= covered / 400 <= 0.98


def test_a_ratio_weights_samples_by_their_size():
    assert ratio_with_interval("x", [1, 0], [1, 3], seed=0)["x"] == 1 / 4


def test_order_does_not_matter():
    first = ratio_with_interval("x", [1, 2, 3], [4, 5, 7], seed=0)
    assert ratio_with_interval("x", [3, 1, 2], [7, 4, 5], seed=0) == pytest.approx(first)


def test_there_is_no_figure_without_data_and_no_interval_for_one_sample():
    assert mean_with_interval("x", [], seed=0) == share_with_interval("x", []) == {}
    assert ratio_with_interval("x", [0, 0], [0, 0], seed=0) == {}
    assert mean_with_interval("x", [2.0], seed=0) == {"x": 2.0}

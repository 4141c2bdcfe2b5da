"""Numbers look the same in all tables and pages."""

import pytest

from jitkit.documents.rows import format_cell, format_interval, format_value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0.0000"),
        (0.5, "0.5000"),
        (1.0, "1.000"),
        (2.5, "2.500"),
        (250.25, "250.2"),
        (64, "64"),
        (1600.0, "1,600"),
    ],
)
def test_values_have_the_digits_that_their_size_deserves(value, expected):
    assert format_value(value) == expected


def test_intervals_are_shown_from_low_to_high():
    assert format_interval(2.5, 2.25, 2.75) == "2.500 [2.250, 2.750]"
    assert format_interval(2.0, 1.5, 2.5) == "2.000 [1.500, 2.500]"
    assert format_interval(1.0, 0.838, 1.0) == "1.000 [0.838, 1.000]"
    assert format_interval(12345.5, 12000, 12600) == "1.235e+04 [1.2e+04, 1.26e+04]"


def test_cells_show_intervals_times_and_missing_numbers():
    row = {"t": 0.5, "x": 2.5, "x_low": 2.25, "x_high": 2.75}
    assert [format_cell(row, key) for key in ("t", "x", "y")] == ["0.5", "2.500 [2.250, 2.750]", "-"]

"""Labels in charts never overlap, and the codec chart shows the measured values."""

import pytest

from jitkit.report.charts import LEFT, RIGHT, SHARES, WIDTH, Series, chart, margin
from jitkit.report.svg import Axis
from tests.core.report.test_run_page import gallery

AXIS = Axis("", SHARES)


def dots(*places, css="reference"):
    return [Series(f"s{i}", [place], css, [f"word {i}"], joined=False) for i, place in enumerate(places)]


def test_overlapping_labels_are_left_out():
    far = chart(dots((0.1, 0.1), (0.5, 0.9), (0.9, 0.5)), AXIS, AXIS, "")
    assert [f">word {i}<" in far for i in range(3)] == [True] * 3
    near = chart(dots(*[(0.5 + i / 1000, 0.5) for i in range(12)]), AXIS, AXIS, "")
    assert 0 < near.count("<text") - far.count("<text") + 3 < 8
    assert near.count("<circle") == 12


def test_real_text_gets_its_label_first():
    crowd = [(0.5, 0.5 + i / 1000) for i in range(-6, 7)]
    real = Series("held-out", [(0.5, 0.5)], "real", ["held-out"], joined=False)
    assert ">held-out<" in chart([real, *dots(*crowd)], AXIS, AXIS, "")


def test_axes_have_labels():
    page = chart(dots((0.5, 0.5)), Axis("across", SHARES), Axis("up", SHARES), "")
    assert ">across<" in page
    assert ">up<" in page


def test_the_codec_chart_shows_the_measured_accuracies_and_the_margin():
    codec = gallery().codec  # 12 numbers a token, margin 1: noise of 0.29 is as long
    page, _ = margin(codec)
    for row in codec.noise:
        assert f": {row['sigma']:.4g}, {row['accuracy']:.4g}</title>" in page
    line = page.split('<g class="line"><polyline points="')[1].split(",")[0]
    axis = Axis("", (0.001, 0.01, 0.1, 1, 10), logarithmic=True)
    assert float(line) == pytest.approx(LEFT + axis.share(1 / 12**0.5) * (WIDTH - LEFT - RIGHT), abs=0.1)

"""Labels in charts never overlap, intervals are drawn, and the codec chart shows the measured values."""

import re

import pytest
from pydantic import ValidationError

from jitkit.codecs.report import noise_tolerance
from jitkit.diffusion.context_free import accuracy_under_noise, uniform_tokens
from jitkit.execution.randomness import seeded_generator
from jitkit.report.charts import SIGMAS, frontier, over_t
from jitkit.report.charts import noise_tolerance as tolerance_chart
from jitkit.report.plot import Series, plot
from jitkit.report.svg import SHARES, Axis
from tests.core.report.test_run_page import gallery
from tests.tiny import resolved

AXIS = Axis("", SHARES)


def dots(*places, css="reference"):
    return [Series(f"s{i}", [place], css, [f"word {i}"], joined=False) for i, place in enumerate(places)]


def test_overlapping_labels_are_left_out():
    far = plot(dots((0.1, 0.1), (0.5, 0.9), (0.9, 0.5)), AXIS, AXIS, "")
    assert [f">word {i}<" in far for i in range(3)] == [True] * 3
    near = plot(dots(*[(0.5 + i / 1000, 0.5) for i in range(16)]), AXIS, AXIS, "")
    assert 0 < near.count("<text") - far.count("<text") + 3 < 12
    assert near.count("<circle") == 16


def test_real_text_gets_its_label_first():
    crowd = [(0.5, 0.5 + i / 1000) for i in range(-6, 7)]
    real = Series("held-out", [(0.5, 0.5)], "real", ["held-out"], joined=False)
    assert ">held-out<" in plot([real, *dots(*crowd)], AXIS, AXIS, "")


def test_axes_have_labels():
    page = plot(dots((0.5, 0.5)), Axis("across", SHARES), Axis("up", SHARES), "")
    assert ">across<" in page
    assert ">up<" in page


def test_ticks_that_would_touch_on_a_phone_are_left_out():
    page = plot(dots((5e5, 0.5)), Axis("", [i * 111_111.0 for i in range(10)]), AXIS, "")
    assert 2 <= page.count('class="below"') - 1 <= 5


def lines(page, css):
    return [
        [tuple(map(float, point.split(","))) for point in found.split()]
        for found in re.findall(rf'<polyline points="([^"]*)"{css}/>', page)
    ]


def test_intervals_are_drawn_to_scale():
    rows = [{"t": 0.5, "hit": 0.5, "hit_low": 0.25, "hit_high": 0.75}, {"t": 0.75, "hit": 1.0}]
    page, _ = over_t(rows, "")
    assert lines(page, ' class="interval"') == [[(500, 750), (500, 250)]]
    assert "hit: 0.5, 0.5 (0.25 to 0.75)</title>" in page


def test_the_axes_of_a_frontier_hold_the_intervals():
    from jitkit.documents.schemas import Frontier

    score = {"judge_bits": 2.0, "judge_bits_low": 0.1, "judge_bits_high": 9.0, "entropy": 3.0}
    score |= {"entropy_low": 2.0, "entropy_high": 4.0}
    document = {
        "checkpoint": "", "model": "m", "step": 1, "held_out": "", "num_texts": 2, "seed": 0, "axes": {"a.b": [1]},
        "marks": [{"text": "held-out", **score}], "points": [{"set": {"a.b": 1}, "measured": score, "seconds": 1.0}],
        "complete": True, "provenance": {"command": "", "machine": "", "versions": {}, "manifest": ""},
    }  # fmt: skip
    page, _ = frontier({"m": Frontier.model_validate(document)})
    bars = lines(page, ' class="interval"')
    assert len(bars) == 4
    assert all(0 <= value <= 1000 for bar in bars for point in bar for value in point)

    with pytest.raises(ValidationError):
        Frontier.model_validate({**document, "columns": ["valid"]})
    stories = Frontier.model_validate({**document, "columns": ["valid", "distance"]})
    page, legend = frontier({"m": Frontier.model_validate(document), "tales": stories})
    assert "entropy, nats/token" in page, "the axes are those of the first model"
    assert len(lines(page, ' class="interval"')) == 6
    stories.points[0].measured.update({"valid": 0.5, "distance": 0.3})
    page, legend = frontier({"tales": stories, "m": Frontier.model_validate(document)})
    assert "correct stories against distance of choices" in page
    assert [series.name for series in legend] == ["tales"], "a model without these numbers is left out"


def test_the_codec_chart_shows_the_measured_accuracies_and_the_tolerance():
    codec = gallery().codec.model_copy(update={"tolerance": 0.3})
    page, legend = tolerance_chart(codec)
    for row in codec.noise:
        assert f": {row['sigma']:.4g}, {row['accuracy']:.4g}</title>" in page
    edge = lines(page, "")[-1]
    assert edge[0][0] == edge[1][0] == pytest.approx(1000 * Axis("", SIGMAS, logarithmic=True).share(0.3), abs=0.1)
    assert "0.1 % of tokens decoded wrongly: sigma 0.3" in legend[1].name
    assert len(tolerance_chart(gallery().codec)[1]) == 1, "a gallery of an earlier version has no tolerance"


@pytest.mark.parametrize("use", ["bits", "code"])
def test_one_token_in_a_thousand_is_wrong_at_the_tolerance(use):
    from jitkit.assembly import assemble

    codec = assemble(resolved(f"codec={{use='{use}'}}"), device="meta").codec
    tokens = uniform_tokens(codec, 20_000, seeded_generator(7))
    sigma = noise_tolerance(codec, tokens)
    wrong = 1 - accuracy_under_noise(codec, sigma, tokens, seeded_generator(8))
    assert 0.0004 < wrong < 0.002
    margin = codec.margin / (3 * codec.pixels_per_token) ** 0.5
    at_the_margin = 1 - accuracy_under_noise(codec, margin, tokens, seeded_generator(8))
    assert at_the_margin != pytest.approx(0.001, rel=0.5), "the margin is another quantity"

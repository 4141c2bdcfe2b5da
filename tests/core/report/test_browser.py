"""The pages in a real browser, at desktop and phone width."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from jitkit.documents.schemas import Evaluation, Frontier
from jitkit.report.comparison import compare, compare_html
from jitkit.report.run_page import run_html
from jitkit.report.run_record import RunRecord
from tests.chromium import Browser, find_chromium
from tests.core.report.test_run_page import gallery, report

CHROMIUM = find_chromium()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    assert CHROMIUM
    with Browser(CHROMIUM, tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def frontier():
    """Return a frontier whose points and baselines are close together."""

    def scores(entropy, bits):
        intervals = {"entropy_low": entropy - 0.2, "entropy_high": entropy + 0.2, "judge_bits_low": bits - 0.5}
        return {"entropy": entropy, "judge_bits": bits, "judge_bits_high": bits + 0.5, **intervals}

    names = ("held-out", "shuffled words", "unigram", "6-gram", "periodic")
    points = [
        {"set": {"sampler.steps": steps}, "measured": scores(2.6 + steps / 500, 2.1 - steps / 100), "seconds": 1.0}
        for steps in (8, 16, 32, 64)
    ]
    document = {
        "checkpoint": "", "model": "m", "step": 1, "held_out": "", "num_texts": 2, "seed": 0, "complete": True,
        "axes": {"sampler.steps": [8, 16, 32, 64]}, "points": points,
        "marks": [{"text": name, **scores(2.64 + i / 20, 1.5 + i / 5)} for i, name in enumerate(names)],
        "provenance": {"command": "", "machine": "", "versions": {}, "manifest": ""},
    }  # fmt: skip
    return Frontier.model_validate(document)


def pages():
    """Return every kind of page, with long words that must not widen it."""
    long = "A" * 300
    row = {"text": "model", "judge_bits": 2.0, "entropy": 3.0}
    rows = [{**row, "text": name} for name in ("model", "held-out", "shuffled words", "unigram", "6-gram", "periodic")]
    evaluation = Evaluation.model_validate(report(model=long, generation=rows, about={"generation": long}))
    log = [{"step": step, "loss": 3.0 / step} for step in range(1, 9)]
    record = RunRecord("run", Path("run"), {}, log, evaluation, gallery(long), frontier())
    others = [record, replace(record, name=long, manifest={long: long})]
    return {"report": run_html(record), "compare": compare_html(compare(others), others)}


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
@pytest.mark.parametrize("name", ["report", "compare"])
def test_a_page_renders_without_errors_and_fits_its_width(browser, tmp_path, name, width, dark):
    page = tmp_path / f"{name}.html"
    page.write_text(pages()[name])
    picture = Path(os.environ.get("JITKIT_SCREENSHOTS", tmp_path)) / f"{name}-{width}.png"
    look = browser.look(page, width, picture, dark=dark)
    assert look.complaints == []
    assert look.width <= width, "the page scrolls sideways"
    assert "seed 0" in look.text
    assert picture.stat().st_size > 10_000


def test_tables_of_recovery_and_likelihood_fit_a_phone(browser, tmp_path):
    interval = {"_low": 0.123, "_high": 0.456}

    def row(*names):
        return {name + end: value for name in names for end, value in {"": 0.3, **interval}.items()}

    recovery = [{"t": t / 10, **row("one_step", "sampled", "contextless", "bigram")} for t in range(1, 10)]
    names = ("bound", "diffusion", "reconstruction", "uniform guess")
    columns = ("bits_per_token", "bits_per_character", "bits_per_byte")
    likelihood = [{"term": name, **row(*columns), "windows": 7.0} for name in names]
    about = {"token_recovery": "", "likelihood": ""}
    document = report(token_recovery=recovery, likelihood=likelihood, about=about)
    record = RunRecord("run", Path("run"), evaluation=Evaluation.model_validate(document))
    page = tmp_path / "report.html"
    page.write_text(run_html(record))
    browser.look(page, 390)
    assert browser.value('document.querySelectorAll(".scroll").length') == 3
    assert browser.value(WIDE) == []


# The boxes of all texts of each plot, and the size of letters on the screen.
TEXTS = """[...document.querySelectorAll("svg.plot")].map(plot => [...plot.querySelectorAll("text")].map(text => {
    const box = text.getBoundingClientRect(), matrix = text.getScreenCTM();
    return {words: text.textContent, axis: !!text.closest(".axes"), left: box.left, right: box.right, top: box.top,
        bottom: box.bottom, size: parseFloat(getComputedStyle(text).fontSize) * matrix.a, stretched: matrix.a != matrix.d};
}))"""
LEGEND = "parseFloat(getComputedStyle(document.querySelector('.chart figcaption')).fontSize)"
# Elements that reach beyond the window without an ancestor that scrolls.
CUT = """[...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1
    && !e.closest(".scroll, pre, .text")).map(e => e.outerHTML.slice(0, 80))"""
# Whether wide tables show that they continue: the shadow of the container is not hidden by its cover.
WIDE = """[...document.querySelectorAll(".scroll")].filter(e => e.scrollWidth > e.clientWidth)
    .map(e => getComputedStyle(e).backgroundAttachment)"""


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
@pytest.mark.parametrize("name", ["report", "compare"])
def test_charts_are_readable_at_any_width(browser, tmp_path, name, width):
    page = tmp_path / f"{name}.html"
    page.write_text(pages()[name])
    browser.look(page, width)
    legend, plots = browser.value(LEGEND), browser.value(TEXTS)
    assert plots
    for texts in plots:
        for one in texts:
            assert not one["stretched"]
            assert one["size"] == pytest.approx(legend if one["axis"] else 0.78 * 16, abs=0.1), one
            assert 0 <= one["left"] <= one["right"] <= width, one
        for index, one in enumerate(texts):
            for other in texts[:index]:
                apart = (
                    one["right"] <= other["left"]
                    or other["right"] <= one["left"]
                    or one["bottom"] <= other["top"] + 3
                    or other["bottom"] <= one["top"] + 3  # boxes are higher than their letters
                )
                assert apart, (one["words"], other["words"])
    assert browser.value(CUT) == []
    if width <= 390:
        shadows = browser.value(WIDE)
        assert shadows
        assert set(shadows) == {"local, local, scroll, scroll"}


def test_in_ci_a_missing_browser_is_an_error(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CI", "")
    assert find_chromium() is None
    monkeypatch.setenv("CI", "true")
    with pytest.raises(AssertionError, match="apt-get install chromium"):
        find_chromium()


def test_the_browser_reports_violations(browser, tmp_path):
    """A script, an inline style, and a wide word are detected."""
    text = pages()["report"].replace("<main>", '<main><script>alert(1)</script><p style="width: 9999px">wide</p>')
    (tmp_path / "bad.html").write_text(text)
    look = browser.look(tmp_path / "bad.html", 390)
    assert sum("ContentSecurityPolicy" in complaint for complaint in look.complaints) >= 2
    assert look.width <= 390  # the style did not apply
    (tmp_path / "wide.html").write_text("<meta name=viewport content='width=device-width'><pre>" + "wide " * 99)
    assert browser.look(tmp_path / "wide.html", 390).width > 390

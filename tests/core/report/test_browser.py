"""The pages in a real browser, at desktop and phone width."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from jitkit.documents.schemas import Evaluation
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


def pages():
    """Return every kind of page, with long words that must not widen it."""
    long = "A" * 300
    row = {"text": "model", "judge_bits": 2.0, "entropy": 3.0}
    rows = [{**row, "text": name} for name in ("model", "held-out", "shuffled words", "unigram", "6-gram", "periodic")]
    evaluation = Evaluation.model_validate(report(model=long, generation=rows, about={"generation": long}))
    log = [{"step": step, "loss": 3.0 / step} for step in range(1, 9)]
    record = RunRecord("run", Path("run"), {}, log, evaluation, gallery(long))
    others = [record, replace(record, name=long, manifest={long: long})]
    return {"report": run_html(record), "compare": compare_html(compare(others), others)}


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (390, True)])
@pytest.mark.parametrize("name", pages())
def test_a_page_renders_without_errors_and_fits_its_width(browser, tmp_path, name, width, dark):
    page = tmp_path / f"{name}.html"
    page.write_text(pages()[name])
    picture = Path(os.environ.get("JITKIT_SCREENSHOTS", tmp_path)) / f"{name}-{width}.png"
    look = browser.look(page, width, picture, dark=dark)
    assert look.complaints == []
    assert look.width <= width, "the page scrolls sideways"
    assert "seed 0" in look.text
    assert picture.stat().st_size > 10_000


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

"""The report as a page: readable alone, safe whatever it says, and honest about the contextless line."""

import json
from html.parser import HTMLParser

import pytest

from jitkit.errors import ResourceError
from jitkit.evaluation.chart import curves
from jitkit.evaluation.report import report_html, write_report
from jitkit.evaluation.rows import columns_of, interval_of, label_of, largest_gain, misses_line


def report(**changes):
    rows = [
        {"t": 0.2, "one_step": 0.1, "sampled": 0.3, "contextless": 0.2},
        {"t": 0.9, "one_step": 1.0, "sampled": 0.9, "contextless": 1.0},
    ]
    return {
        "schema": "jitkit.eval/1",
        "checkpoint": "run/best_model.pth",
        "model": "tiny",
        "epoch": 1,
        "step": 10,
        "held_out": "python-docs",
        "num_held_out": 4,
        "num_windows": 4,
        "tokens_per_window": 20,
        "seed": 42,
        "sampler": {"use": "euler", "steps": 4},
        "quick": False,
        "device": "cpu",
        "validation": {"loss": 0.5},
        "token_recovery": rows,
        "about": {"validation": "The loss.", "token_recovery": "The share."},
        "versions": {"jitkit": "0"},
        "seconds": 1.0,
        **changes,
    }


class Page(HTMLParser):
    """What a browser would act on."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.policy, self.words = [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if ("http-equiv", "Content-Security-Policy") in attributes:
            self.policy = dict(attributes)["content"]

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_loads_and_runs_nothing():
    page = Page(report_html(report()))
    assert page.policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in page.policy
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert not [
        a for _, attributes in page.tags for a in attributes if a.startswith("on") or a in ("style", "src", "href")
    ]


def test_what_a_report_says_is_text_and_never_markup():
    evil = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'
    page = Page(report_html(report(model=evil, held_out=evil, checkpoint=evil, about={"token_recovery": evil})))
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert evil in "".join(page.words)
    chart = curves([{"t": 0.5, '<b onclick="x">': 1.0}], '"><script>')
    assert not {"b", "script"} & {tag for tag, _ in Page(chart).tags}


def test_a_reading_that_is_not_above_the_line_is_marked():
    row = {"one_step": 0.5, "sampled": 0.6, "contextless": 0.5, "other": 0.1}
    assert misses_line(row, "one_step")
    assert not misses_line(row, "sampled")
    assert not misses_line(row, "other")
    assert not misses_line({"one_step": 1.0, "contextless": 1.0}, "one_step")
    marked = [attributes for tag, attributes in Page(report_html(report())).tags if tag == "td" and attributes]
    assert len(marked) == 2  # one_step at 0.2 and sampled at 0.9


def test_the_headline_is_the_largest_gain():
    rows = report()["token_recovery"]
    assert largest_gain(rows) == (rows[0], "sampled")
    assert largest_gain(rows[1:]) is None
    assert "<b>30.0 %</b>" in report_html(report())
    assert "At none of the measured times" in report_html(report(token_recovery=rows[1:]))


def test_rows_of_texts_stand_beside_each_other_with_their_intervals():
    rows = [
        {"text": "model", "entropy": 2.5, "entropy_low": 2.25, "entropy_high": 2.75, "ended": 0.5},
        {"text": "<i>", "entropy": 3.0},
    ]
    page = Page(report_html(report(generation=rows, about={"generation": "Texts."})))
    words = [word.strip() for word in page.words]
    first = words.index("model")
    assert [word for word in words[first:] if word][:10] == [
        *("model", "<i>", "entropy, nats a token", "2.500", "2.250–2.750", "3.000", "ended by eos", "0.500", "–"),
        "Small figures: the 95 % interval over another draw of as many.",
    ]
    assert "polyline" not in {tag for tag, _ in page.tags}  # nothing to draw over t


def test_columns_are_those_of_any_row_and_bounds_belong_to_their_number():
    rows = [{"text": "a", "x": 1.0}, {"text": "b", "x": 2.0, "x_low": 1.0, "x_high": 3.0, "fever_high": 4.0}]
    assert (label_of(rows), columns_of(rows)) == ("text", ["x", "fever_high"])
    assert (interval_of(rows[0], "x"), interval_of(rows[1], "x")) == (None, (1.0, 3.0))
    assert label_of([{"t": 0.5, "cer": 0.1}]) is None


def test_both_files_are_written_and_say_the_same(tmp_path):
    json_path, html_path = write_report(report(), tmp_path / "new" / "folder")
    assert json.loads(json_path.read_text()) == report()
    assert html_path.read_text() == report_html(report())


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="file"):
        write_report(report(), tmp_path / "file" / "folder")

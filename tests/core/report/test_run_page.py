"""The page of a run is self-contained, safe for any content, and marks what misses the baseline."""

import base64
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from jitkit.documents.rows import columns_of, interval_of, label_of, largest_gain, misses_baseline
from jitkit.documents.schemas import Evaluation, Gallery
from jitkit.errors import ResourceError
from jitkit.report.charts import over_t
from jitkit.report.run_page import run_html, write_report
from jitkit.report.run_record import RunRecord


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
        "seconds": 1.0,
        "provenance": {"command": "jitkit eval", "machine": "a desk", "versions": {"jitkit": "0"}, "manifest": ""},
        **changes,
    }


PNG = base64.b64encode(b"not a real PNG").decode()


def gallery(text="To be"):
    """Return a gallery of one sample and one held-out window, both with `text`."""
    pieces = [{"text": text, "share": 0.5}]
    frame = {"t": 0.0, "z": PNG, "x_hat": PNG, "pieces": pieces}
    sample = {"seed": 0, "ended": True, "pieces": pieces, "picture": PNG, "frames": [frame, {**frame, "t": 1.0}]}
    codec = {"use": "bits", "image_size": 8, "tokens_per_image": 16, "pixels_per_token": 4, "vocab_size": 258}
    noise = [{"sigma": 0.01, "accuracy": 1.0}, {"sigma": 1.0, "accuracy": 0.5}]
    origin = {"command": text, "machine": text, "versions": {}, "manifest": text}
    return Gallery.model_validate(
        {
            "model": text,
            "step": 10,
            "sampler": {"use": "euler", "steps": 4},
            "real": [{"text": text, "picture": PNG}],
            "samples": [sample],
            "codec": {**codec, "margin": 1.0, "noise": noise},
            "provenance": origin,
        }
    )


def report_html(document, **changes):
    record = RunRecord("run", Path("run"), evaluation=Evaluation.model_validate(document))
    return run_html(replace(record, **changes))


class Page(HTMLParser):
    """The tags, content security policy, and text of a page."""

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


def test_the_page_loads_no_resources_and_runs_no_script():
    page = Page(report_html(report(), gallery=gallery()))
    assert page.policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in page.policy
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    attributes = {(name, value) for _, found in page.tags for name, value in found.items()}
    assert not [name for name, _ in attributes if name.startswith("on") or name in ("style", "href")]
    assert {value for name, value in attributes if name == "src"} == {f"data:image/png;base64,{PNG}"}


def test_values_are_never_markup():
    evil = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'
    document = report(model=evil, held_out=evil, checkpoint=evil, about={"token_recovery": evil})
    page = Page(report_html(document, gallery=gallery(evil)))
    assert "script" not in {tag for tag, _ in page.tags}
    assert "onerror" not in {name for _, attributes in page.tags for name in attributes}
    assert "".join(page.words).count(evil) >= 8  # generated and held out, in frames and below pictures, in the facts
    chart, _ = over_t([{"t": 0.5, '<b onclick="x">': 1.0}], '"><script>')
    assert not {"b", "script"} & {tag for tag, _ in Page(chart).tags}


def test_control_characters_become_visible_symbols():
    page = "".join(Page(report_html(report(), gallery=gallery("a\x1b\u202eb\n\tc"))).words)
    assert "a\u241b\ufffdb\n\tc" in page
    assert "\u202e" not in page


def test_a_run_without_evaluation_has_a_page():
    log = [{"step": step, "loss": 3.0 / step} for step in range(1, 1000)] + [{"step": 999, "validation_loss": 0.5}]
    page = run_html(RunRecord("run", Path("run"), {"id": "tiny"}, log, gallery=gallery()))
    assert "in training" in page
    assert "Lowest validation loss so far: 0.5000" in page
    assert len(page) < 50_000  # a thousand steps are averaged
    assert "<h1>tiny" in run_html(RunRecord("run", Path("run"), {"id": "tiny"}))


def test_an_accuracy_not_above_the_baseline_is_marked():
    row = {"one_step": 0.5, "sampled": 0.6, "contextless": 0.5, "other": 0.1}
    assert misses_baseline(row, "one_step")
    assert not misses_baseline(row, "sampled")
    assert not misses_baseline(row, "other")
    assert not misses_baseline({"one_step": 1.0, "contextless": 1.0}, "one_step")
    marked = [attributes for tag, attributes in Page(report_html(report())).tags if tag == "td" and attributes]
    assert len(marked) == 2  # one_step at 0.2 and sampled at 0.9


def test_the_headline_is_the_largest_gain():
    rows = report()["token_recovery"]
    assert largest_gain(rows) == (rows[0], "sampled")
    assert largest_gain(rows[1:]) is None
    assert "<b>30.0 %</b>" in report_html(report())
    assert "does not beat the context-free baseline" in report_html(report(token_recovery=rows[1:]))


def test_labeled_rows_become_columns_with_intervals():
    rows = [
        {"text": "model", "entropy": 2.5, "entropy_low": 2.25, "entropy_high": 2.75, "ended": 0.5},
        {"text": "<i>", "entropy": 3.25},
    ]
    page = Page(report_html(report(generation=rows, about={"generation": "Texts."})))
    words = [word.strip() for word in page.words]
    first = words.index("model")
    assert [word for word in words[first:] if word][:10] == [
        *("model", "<i>", "entropy, nats/token", "2.500", "[2.250, 2.750]", "3.250", "ended by eos", "0.5000", "–"),
        "Brackets hold the 95\u00a0% interval.",
    ]
    assert "polyline" not in {tag for tag, _ in page.tags}  # no chart without t


def test_tables_of_texts_have_marks():
    """The table marks disjoint intervals and missed baselines, and shows counts in full."""
    interval = {"entropy_low": 2.0, "entropy_high": 2.5}
    texts = [
        {"text": "model", "entropy": 2.25, **interval, "samples": 1600},
        {"text": "held-out", "entropy": 2.25, **interval, "samples": 1600},
        {"text": "unigram", "entropy": 3.0, "entropy_low": 2.75, "entropy_high": 3.25, "samples": 1600},
        {"text": "periodic", "entropy": 1.5, "entropy_low": 1.25, "entropy_high": 1.75, "samples": 1600},
        {"text": "6-gram", "entropy": 2.5, "entropy_low": 2.25, "entropy_high": 2.75, "samples": 1600},
    ]
    hidden = [
        {"hidden": "15 %", "filled": 0.25, "contextless": 0.5},
        {"hidden": "50 %", "filled": 0.5, "contextless": 0.25},
    ]
    document = report(generation=texts, infill=hidden, about={"generation": "", "infill": ""})
    page = Page(report_html(document))
    marks = [attributes["class"] for tag, attributes in page.tags if tag == "abbr"]
    assert marks == ["differs", "differs", "miss"]
    words = [word.strip() for word in page.words if word.strip()]
    assert words[words.index("≠") + 1] == "3.000"
    assert words[words.index("!") - 1] == "0.2500"
    assert words.count("1,600") == 5


def test_columns_are_collected_from_all_rows_without_bounds():
    rows = [{"text": "a", "x": 1.0}, {"text": "b", "x": 2.0, "x_low": 1.0, "x_high": 3.0, "fever_high": 4.0}]
    assert (label_of(rows), columns_of(rows)) == ("text", ["x", "fever_high"])
    assert (interval_of(rows[0], "x"), interval_of(rows[1], "x")) == (None, (1.0, 3.0))
    assert label_of([{"t": 0.5, "cer": 0.1}]) is None


def test_write_report_writes_all_files(tmp_path):
    run, folder = tmp_path / "run", tmp_path / "new" / "folder"
    run.mkdir()
    (run / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n{"step": 3, "lo')
    written = write_report(Evaluation.model_validate(report()), gallery(), folder, run)
    assert [path.name for path in written] == ["report.json", "gallery.json", "report.html"]
    document = json.loads((folder / "report.json").read_text())
    assert {key: document[key] for key in report()} == report()
    assert Gallery.model_validate_json((folder / "gallery.json").read_text()) == gallery()
    assert "loss against optimizer steps" in (folder / "report.html").read_text()  # the run's log, though cut off


def test_an_error_names_the_folder_that_cannot_be_created(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="file"):
        write_report(Evaluation.model_validate(report()), gallery(), tmp_path / "file" / "folder", tmp_path)

"""Comparisons of runs show what differs and warn about figures that are not comparable."""

import json

import pytest

from jitkit.documents.document import write_document
from jitkit.documents.schemas import Comparison, Evaluation
from jitkit.errors import InputError, JitkitError
from jitkit.report.comparison import (
    VALIDATION_LOSS,
    comparable_figures,
    compare,
    compare_html,
    noisy_losses,
    origins,
    windows_of_losses,
)
from jitkit.report.run_record import read_run
from tests.core.report.test_run_page import Page, gallery, report


def run_folder(folder, lr, loss, **changes):
    """Write a run folder like training and evaluation do, and return its record."""
    folder.mkdir(parents=True)
    (folder / "manifest.toml").write_text(f'id = "tiny"\n[tokenizer]\nuse = "bytes"\n[train]\nlr = {lr}\n')
    lines = [{"step": 1, "loss": 2.0}, {"step": 2, "validation_loss": loss + 1}, {"step": 4, "validation_loss": loss}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_document(folder / "report.json", Evaluation.model_validate(report(**changes)))
    write_document(folder / "gallery.json", gallery())
    return read_run(folder)


def test_a_comparison_holds_differing_keys_and_all_figures(tmp_path):
    a, b = run_folder(tmp_path / "a", 0.1, 0.5), run_folder(tmp_path / "b", 0.2, 0.25)
    found = compare([a, b])
    assert found.manifest_differences == {"train.lr": [0.1, 0.2]}
    assert found.measured_differently == {}
    assert found.figures["log: lowest validation_loss"] == [{"value": 0.5}, {"value": 0.25}]
    assert found.figures["token_recovery: t=0.2 sampled"] == [{"value": 0.3}] * 2
    assert [(run.name, run.step) for run in found.runs] == [("a", 10), ("b", 10)]
    assert Comparison.model_validate_json(json.dumps(found.as_json())) == found


@pytest.mark.parametrize("lr", ["inf", "nan", "2026-11-29", "[1.0, nan]"])
def test_manifest_values_that_json_lacks_are_compared_as_text(tmp_path, lr):
    found = compare([run_folder(tmp_path / "a", 0.1, 0.5), run_folder(tmp_path / "b", lr, 0.5)])
    assert found.manifest_differences == {"train.lr": [0.1, [1.0, "nan"] if lr[0] == "[" else lr]}
    assert Comparison.model_validate_json(json.dumps(found.as_json())) == found


def with_loss(low, high):
    return {"validation": {"loss": (low + high) / 2, "loss_low": low, "loss_high": high}}


@pytest.mark.parametrize(
    ("others", "differ"), [([(0.4, 0.6)], False), ([(0.7, 0.9)], True), ([(0.4, 0.6), (0.1, 0.2)], True)]
)
def test_figures_with_disjoint_intervals_are_marked(tmp_path, others, differ):
    intervals = [(0.3, 0.5), *others]
    runs = [run_folder(tmp_path / f"r{i}", 0.1, 0.5, **with_loss(*each)) for i, each in enumerate(intervals)]
    found = compare(runs)
    assert found.differ == (["validation: loss"] if differ else [])
    page = compare_html(found, runs)
    assert ('<abbr class="differs"' in page) == differ
    unlike = [*runs, run_folder(tmp_path / "quick", 0.1, 0.5, quick=True, **with_loss(9.0, 9.1))]
    assert compare(unlike).differ == []
    assert compare([runs[0], runs[0]]).differ == []


def test_long_tables_are_collapsed_and_equal_figures_are_left_out(tmp_path):
    runs = []
    for name, value in {"a": 0.5, "b": 0.4}.items():
        rows = [{"t": t / 20, "one_step": value, "sampled": value, "contextless": 0.1} for t in range(1, 10)]
        runs.append(run_folder(tmp_path / name, 0.1, value, token_recovery=rows, **with_loss(value, 1)))
    page = compare_html(compare(runs), runs)
    assert "9 figures equal in all runs" in page
    details = [dict(attributes) for tag, attributes in Page(page).tags if tag == "details"]
    assert ["open" in each for each in details] == [True, True, False]  # log, validation, eighteen rows


def test_different_conditions_are_a_warning(tmp_path):
    a, b = run_folder(tmp_path / "a", 0.1, 0.5), run_folder(tmp_path / "b", 0.1, 0.5, num_windows=3, quick=True)
    found = compare([a, b])
    assert found.measured_differently == {"num_windows": [4, 3], "quick": [False, True]}
    page = "".join(Page(compare_html(found, [a, b])).words)
    assert "Not comparable" in page
    assert "The manifests are equal" in page
    assert "Not comparable" not in compare_html(compare([a, a]), [a, a])


def test_runs_without_evaluation_and_runs_with_equal_names_are_compared(tmp_path):
    a, b = run_folder(tmp_path / "x" / "run", 0.1, 0.5), run_folder(tmp_path / "y" / "run", 0.1, 0.25)
    (tmp_path / "y" / "run" / "report.json").unlink()
    b = read_run(b.folder)
    found = compare([a, b])
    assert [run.name for run in found.runs] == [str(a.folder), str(b.folder)]
    assert found.figures["token_recovery: t=0.2 sampled"] == [{"value": 0.3}, None]
    assert found.figures["log: lowest validation_loss"][1] == {"value": 0.25}


def test_what_was_not_measured_is_named_with_the_command_that_measures_it(tmp_path):
    a, b, c = (
        run_folder(tmp_path / name, 0.1, 0.5, **changes) for name, changes in (("a", {}), ("b", {}), ("c d", {}))
    )
    (b.folder / "report.json").unlink()
    document = json.loads((c.folder / "report.json").read_text())
    for key in (document, document["about"]):
        del key["token_recovery"]
    (c.folder / "report.json").write_text(json.dumps(document))
    records = [a, read_run(b.folder), read_run(c.folder)]
    found = compare(records)
    first, second = found.not_measured
    assert first == (
        f"b was not evaluated, so only its training log is compared. Evaluate it: jitkit eval {tmp_path / 'b'}"
    )
    assert second.startswith("c d was evaluated without token_recovery. Measure everything: jitkit eval ")
    assert second.endswith(f" --out '{tmp_path / 'c d'}'")
    assert "was not evaluated" in compare_html(found, records)
    assert compare([a, a]).not_measured == []


def with_provenance(**facts):
    return {"provenance": {"command": "", "machine": "", "versions": {}, "manifest": "", **facts}}


def test_origins_and_few_windows_are_named(tmp_path):
    a = run_folder(tmp_path / "a", 0.1, 0.5, **with_provenance(validation_windows=8))
    b = run_folder(tmp_path / "b", 0.1, 0.25, **with_provenance(validation_windows=64, initial="nano", teacher="big"))
    found = compare([a, b])
    assert [(run.initial, run.teacher, run.validation_windows) for run in found.runs] == [
        (None, None, 8),
        ("nano", "big", 64),
    ]
    assert origins(found) == ["b began with the weights of nano", "b distilled big"]
    assert noisy_losses(found).startswith("validation losses of so few windows (a: 8) say little")
    assert noisy_losses(compare([b, b])) == ""
    assert windows_of_losses(found) == "8, 64 windows"
    page = "".join(Page(compare_html(found, [a, b])).words)
    for words in ("b began with the weights of nano", "(a: 8) say little", "lowest validation loss (8, 64 windows)"):
        assert words in page


def test_figures_of_one_run_are_not_comparable(tmp_path):
    a, b = run_folder(tmp_path / "a", 0.1, 0.5), run_folder(tmp_path / "b", 0.1, 0.25)
    (b.folder / "report.json").unlink()
    found = compare([a, read_run(b.folder)])
    assert list(comparable_figures(found)) == [VALIDATION_LOSS]
    assert found.figures["token_recovery: t=0.2 sampled"] == [{"value": 0.3}, None]


def test_a_folder_of_runs_names_them(tmp_path):
    run_folder(tmp_path / "a", 0.1, 0.5)
    with pytest.raises(InputError) as caught:
        read_run(tmp_path)
    assert str(caught.value).endswith(f"It holds {tmp_path / 'a'}.")


def test_nothing_is_said_of_intervals_of_a_single_run_or_of_equal_seeds(tmp_path):
    intervals = with_loss(0.3, 0.5)
    a, b = run_folder(tmp_path / "a", 0.1, 0.5, **intervals), run_folder(tmp_path / "b", 0.1, 0.6, **intervals)
    page = compare_html(compare([a, b]), [a, b])
    assert "All intervals overlap" in page
    assert "Equal seeds" in page
    (b.folder / "report.json").unlink()
    fewer = json.loads((b.folder / "gallery.json").read_text())
    fewer["samples"] = fewer["samples"][:1] if len(fewer["samples"]) > 1 else []
    (b.folder / "gallery.json").write_text(json.dumps(fewer))
    b = read_run(b.folder)
    page = compare_html(compare([a, b]), [a, b])
    assert "All intervals overlap" not in page
    assert "Equal seeds" not in page
    assert "compare texts of the same seed only" in page


def test_names_and_keys_are_never_markup(tmp_path):
    evil = "<script>alert(1)<"
    a, b = run_folder(tmp_path / evil, 0.1, 0.5), run_folder(tmp_path / "b", f'"{evil}"', 0.5)
    page = Page(compare_html(compare([a, b]), [a, b]))
    assert "script" not in {tag for tag, _ in page.tags}
    assert "".join(page.words).count(evil) >= 4


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("report.json", "{}", "report.json"),
        ("gallery.json", '{"schema": "jitkit.gallery/9"}', "schema"),
        ("frontier.json", "\x00", "frontier.json"),
        ("manifest.toml", "[", "manifest.toml"),
        ("manifest.toml", f"x = {'[' * 60}{']' * 60}", "manifest.toml: found tables or arrays nested too deeply"),
        ("metrics.jsonl", "[]\n{}\n", "metrics.jsonl:1"),
        ("metrics.jsonl", f'{{"step": 1, "loss": {"9" * 400}}}\n' * 2, "metrics.jsonl:1"),
        ("metrics.jsonl", '{"step": 1, "loss": 1e999}\n' * 2, "metrics.jsonl:1"),
    ],
)
def test_an_error_names_the_damaged_file(tmp_path, name, content, message):
    run = run_folder(tmp_path / "a", 0.1, 0.5)
    (run.folder / name).write_text(content)
    with pytest.raises(JitkitError, match=message):
        read_run(run.folder)


def test_a_report_without_a_measurement_that_it_is_about_is_damaged(tmp_path):
    run = run_folder(tmp_path / "a", 0.1, 0.5)
    document = json.loads((run.folder / "report.json").read_text())
    del document["token_recovery"]
    (run.folder / "report.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"report\.json: .*no measurement of token_recovery"):
        read_run(run.folder)


def test_an_error_names_a_folder_without_a_run(tmp_path):
    with pytest.raises(InputError, match="a folder without"):
        read_run(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        read_run(tmp_path / "nowhere")
    (tmp_path / "text.txt").touch()
    with pytest.raises(InputError, match="found a file"):
        read_run(tmp_path / "text.txt")

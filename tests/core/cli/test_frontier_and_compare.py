"""`jitkit frontier` and `jitkit compare` as processes."""

from __future__ import annotations

import json
import re

import pytest

from jitkit.documents.schemas import Comparison, Evaluation, Frontier
from tests.core.cli.conftest import run
from tests.core.report.test_compare import run_folder, with_loss

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("It was the best of times, it was the worst of times.\n" * 100)
    return path


def test_a_frontier_continues_after_an_interruption_and_can_be_extended(checkpoint, text, tmp_path):
    asked = ["frontier", checkpoint, "--data", text, "-n", 2, "--out", tmp_path, "--json"]
    first = run(*asked, "--sweep", "sampler.steps=1,2")
    assert first.returncode == 0, first.stderr
    found = Frontier.model_validate_json(first.stdout)
    assert [point.set for point in found.points] == [{"sampler.steps": 1}, {"sampler.steps": 2}]
    assert found.complete
    assert {row["text"] for row in found.marks} >= {"held-out", "unigram", "periodic"}
    assert all("judge_bits" in row and "entropy" in row for row in [*found.marks, *(p.measured for p in found.points)])
    assert "n-gram model, bits/char against entropy" in (tmp_path / "report.html").read_text()

    document = json.loads((tmp_path / "frontier.json").read_text())
    document["points"] = document["points"][1:]  # as if interrupted
    document["points"][0]["seconds"] = 12345.0
    (tmp_path / "frontier.json").write_text(json.dumps(document))
    again = run(*asked, "--sweep", "sampler.steps=1")
    grown = Frontier.model_validate_json(again.stdout)
    assert [point.set["sampler.steps"] for point in grown.points] == [2, 1]
    assert grown.points[0].seconds == 12345.0  # not measured again
    assert grown.points[1].measured == found.points[0].measured

    other = run(*asked, "--sweep", "sampler.steps=1", "-n", 3)
    assert other.returncode == 2
    assert "--overwrite" in other.stderr


def test_the_frontier_of_a_model_of_stories_counts_correct_stories(tmp_path):
    done = run("frontier", "jit-tales", "-n", 2, "--sweep", "sampler.steps=1,2", "--out", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    found = Frontier.model_validate_json(done.stdout)
    assert found.columns[:2] == ["valid", "distance"]
    assert all(0 <= point.measured["valid"] <= 1 for point in found.points)
    assert {row["text"]: row["valid"] for row in found.marks} == {"held-out": 1, "drawn": 1}
    shown = run("frontier", "jit-tales", "-n", 2, "--sweep", "sampler.steps=1,2", "--out", tmp_path)
    assert "wrong_spelling" in shown.stdout
    page = (tmp_path / "report.html").read_text()
    assert "judge_bits" not in shown.stdout + page
    assert "frontier.json</code> holds the same numbers" in page
    undrawn = [point for point in found.points if "distance" not in point.measured]
    assert ("Not in the chart" in page) == bool(undrawn)


def test_eval_and_compare_documents_match_their_schemas(checkpoint, text, tmp_path):
    for name in ("a", "b"):
        done = run("eval", "--checkpoint", checkpoint, "--quick", "--out", tmp_path / name, "--json")
        assert done.returncode == 0, done.stderr
        assert Evaluation.model_validate_json(done.stdout).provenance
    done = run("compare", tmp_path / "a", tmp_path / "b", "--json", "--out", tmp_path / "compare.html")
    assert done.returncode == 0, done.stderr
    found = Comparison.model_validate_json(done.stdout)
    assert not found.measured_differently
    assert len({figure["value"] for figure in found.figures["validation: loss"] if figure}) == 1
    assert (tmp_path / "compare.html").read_text().startswith("<!doctype html>")
    for_people = run("compare", tmp_path / "a", tmp_path / "b")
    assert "nothing to compare: the runs have no number in common that differs" in for_people.stdout
    assert f"not shown: {len(found.figures)} figures equal in all runs (--json lists all)" in for_people.stdout


def test_a_comparison_for_people_has_what_can_be_compared(tmp_path):
    quick = {"provenance": {"command": "", "machine": "", "versions": {}, "manifest": "", "validation_windows": 8}}
    first = run_folder(tmp_path / "a", 0.1, 0.5, **with_loss(0.4, 0.6), **quick)
    second = run_folder(tmp_path / "b", 0.1, 0.25, **with_loss(0.7, 0.9), **quick)
    done = run("compare", first.folder, second.folder, COLUMNS="80")
    assert re.search(r"^! validation losses of so few windows \(a: 8, b: 8\) say little", done.stdout, re.M)
    assert re.search(r"^log *\n  lowest validation_loss \(8 windows\) +0\.5\d* +0\.25\d*$", done.stdout, re.M)
    assert re.search(r"^validation *\n≠ loss +0\.500 \[0\.400, 0\.600\]  0\.800 \[0\.700, 0\.900\]$", done.stdout, re.M)
    assert "token_recovery" not in done.stdout
    assert "not shown: 6 figures equal in all runs (--json lists all)" in done.stdout
    (second.folder / "report.json").unlink()
    done = run("compare", first.folder, second.folder)
    assert "not shown: 7 figures of one run only (--json lists all)" in done.stdout
    assert not re.search(r" -$", done.stdout, re.M)
    assert len(json.loads(run("compare", first.folder, second.folder, "--json").stdout)["figures"]) == 8


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["frontier", "{}", "--sweep", "sampler.steps"], 2, "KEY=VALUE"),
        (["frontier", "{}", "--sweep", "backbone.depth=1,2"], 2, "--sweep: found 'backbone.depth'; expected a key"),
        (["frontier", "{}", "--sweep", "sampler.steps=1,0", "-n", "1"], 3, "--sweep sampler.steps: found 0"),
        (["frontier", "{}", "--sweep", "sampler.steps=1,one", "-n", "1"], 3, "--sweep sampler.steps: found 'one'"),
        (["frontier", "{}", "--sweep", "sampler.stepz=1", "-n", "1"], 3, "--sweep sampler.stepz: found an unknown key"),
        (["frontier", "{}", "--data", "nowhere.txt"], 4, "nowhere.txt"),
        (["compare", "nowhere"], 2, "at least two"),
        (["compare", "nowhere", "elsewhere"], 4, "nowhere"),
    ],
)
def test_each_error_is_one_line(checkpoint, tmp_path, arguments, code, message):
    command = [argument.format(checkpoint) for argument in arguments]
    done = run(*command, *(["--out", str(tmp_path)] if command[0] == "frontier" else []))
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_frontier_of_fewer_texts_than_requested_has_a_note(checkpoint, tmp_path):
    short = tmp_path / "text.txt"
    short.write_text("It was the best of times, it was the worst of times.\n" * 40)
    done = run("frontier", checkpoint, "--data", short, "-n", 500, "--out", tmp_path, "--sweep", "sampler.steps=1")
    assert done.returncode == 0, done.stderr
    assert "jitkit: -n is 500; the held-out text has " in done.stderr

"""Partial results are reused by an equal evaluation only, and deleted at its end."""

import pytest

from jitkit.evaluation.partial_results import PartialResults


def never():
    pytest.fail("computed again")


def test_a_value_is_computed_once(tmp_path):
    folder = tmp_path / "model.eval"
    assert PartialResults(folder, {"seed": 1}).get("loss", lambda: {"x": 1.5}) == {"x": 1.5}
    again = PartialResults(folder, {"seed": 1})
    assert again.get("loss", never) == {"x": 1.5}
    assert again.reused == 1
    assert PartialResults(folder, {"seed": 2}).get("loss", lambda: 2) == 2


def test_a_damaged_value_is_computed_again(tmp_path):
    PartialResults(tmp_path, {}).get("loss", lambda: 1)
    (path,) = tmp_path.glob("*.json")
    path.write_bytes(path.read_bytes()[:-9])
    assert PartialResults(tmp_path, {}).get("loss", lambda: 3) == 3


def test_delete_keeps_the_results_of_other_evaluations(tmp_path):
    folder = tmp_path / "model.eval"
    results, other = PartialResults(folder, {"seed": 1}), PartialResults(folder, {"seed": 2})
    results.get("loss", lambda: 1)
    other.get("loss", lambda: 2)
    results.delete()
    assert other.get("loss", never) == 2
    other.delete()
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_is_not_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    results = PartialResults(tmp_path / "file" / "model.eval", {})
    assert results.get("loss", lambda: 1) == 1
    assert results.failure
    results.delete()

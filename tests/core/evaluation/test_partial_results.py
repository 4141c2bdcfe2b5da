"""What was finished is found again, for the same evaluation only, and goes when it is done."""

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


def test_what_is_damaged_is_computed_again(tmp_path):
    PartialResults(tmp_path, {}).get("loss", lambda: 1)
    (path,) = tmp_path.glob("*.json")
    path.write_bytes(path.read_bytes()[:-9])
    assert PartialResults(tmp_path, {}).get("loss", lambda: 3) == 3


def test_what_is_done_is_forgotten_and_what_is_not_stays(tmp_path):
    folder = tmp_path / "model.eval"
    kept, other = PartialResults(folder, {"seed": 1}), PartialResults(folder, {"seed": 2})
    kept.get("loss", lambda: 1)
    other.get("loss", lambda: 2)
    kept.forget()
    assert other.get("loss", never) == 2
    other.forget()
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    kept = PartialResults(tmp_path / "file" / "model.eval", {})
    assert kept.get("loss", lambda: 1) == 1
    assert kept.failure
    kept.forget()

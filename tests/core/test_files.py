from pathlib import Path

import pytest

from jitkit.errors import InputError, RefusedError
from jitkit.files import Files


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "", "a\0b", "C:\\x", "x" * 300])
def test_names_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(RefusedError):
        Files(tmp_path).path(name, field="tokenizer.file")


def test_a_link_cannot_leave_the_folder(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "link").symlink_to(tmp_path)
    with pytest.raises(RefusedError):
        Files(tmp_path / "inside").path("link/secret", field="tokenizer.file")


def test_a_path_from_the_command_line_may_be_anywhere(tmp_path: Path) -> None:
    given = str(tmp_path / "novel.txt")
    assert Files(Path("elsewhere"), allowed=frozenset({given})).path(given, field="data.path") == Path(given)


def test_embedded_files_take_precedence_and_missing_ones_are_named(tmp_path: Path) -> None:
    files = Files(tmp_path, embedded={"a.tiktoken": b"ranks"})
    assert files.read("a.tiktoken", field="tokenizer.file") == b"ranks"
    with pytest.raises(InputError, match=r"b\.tiktoken: tokenizer\.file: found no such file"):
        files.read("b.tiktoken", field="tokenizer.file")

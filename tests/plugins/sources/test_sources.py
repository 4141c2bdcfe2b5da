"""Sources: which files are found, in which order, and which are refused. Conformance is tested elsewhere."""

from pydoc_data.topics import topics

import pytest

from jitkit.errors import InputError, RefusedError
from jitkit.files import Files
from jitkit_plugins.sources.python_docs import PythonDocsSource
from jitkit_plugins.sources.text import TextSource


@pytest.fixture
def folder(tmp_path):
    for name in ("b/two.txt", "a.md", "b/one.txt", "c.txt", "table.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"text of {name}")
    return tmp_path


def read(source) -> list[str]:
    return list(source.read())


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".", ["a.md", "b/one.txt", "b/two.txt", "c.txt"]),
        ("b", ["b/one.txt", "b/two.txt"]),
        ("c.txt", ["c.txt"]),
        ("*.txt", ["c.txt"]),
        ("b/*", ["b/one.txt", "b/two.txt"]),
        ("**/*.txt", ["b/one.txt", "b/two.txt", "c.txt"]),
        ("[ab]*", ["a.md"]),
    ],
)
@pytest.mark.parametrize("from_command_line", [False, True])
def test_files_folders_and_globs(folder, path: str, found: list[str], from_command_line: bool) -> None:
    absolute = str(folder / path)
    files = Files(folder / "elsewhere", allowed=frozenset({absolute})) if from_command_line else Files(folder)
    source = TextSource(path=absolute if from_command_line else path).build(files)
    assert read(source) == [f"text of {name}" for name in found]


def test_files_are_sorted_by_name(tmp_path) -> None:
    names = [f"{number * 7 % 40:02}.txt" for number in range(40)]
    for name in names:
        (tmp_path / name).write_text(name)
    for path in (".", "*.txt"):
        assert read(TextSource(path=path).build(Files(tmp_path))) == sorted(names)


def test_a_folder_name_may_contain_glob_characters(tmp_path) -> None:
    (tmp_path / "a[1]").mkdir()
    (tmp_path / "a[1]" / "x.txt").write_text("x")
    assert read(TextSource(path="a[1]").build(Files(tmp_path))) == ["x"]
    assert read(TextSource(path="*.txt").build(Files(tmp_path / "a[1]"))) == ["x"]


def test_both_splits_have_documents(folder) -> None:
    source = TextSource(path=".").build(Files(folder))
    train, validation = list(source.documents("train")), list(source.documents("validation"))
    assert len(train) == 3
    assert len(validation) == 1


def test_the_fingerprint_depends_on_the_text_not_on_the_path(folder, tmp_path) -> None:
    def fingerprint(name: str) -> str:
        return TextSource(path=name).build(Files(folder)).fingerprint()

    before = fingerprint("b")
    (folder / "b").rename(folder / "moved")
    assert fingerprint("moved") == before
    (folder / "moved" / "one.txt").write_text("text of B/one.txt")
    assert fingerprint("moved") != before


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("absent.txt", r"absent\.txt: found no such file or folder"),
        ("*.jsonl", r"\*\.jsonl: data\.path: found no file matching '\*\.jsonl'; expected at least one"),
        ("*.csv", r"table\.csv: found suffix '\.csv'"),
    ],
)
def test_missing_files_are_errors(folder, path: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        TextSource(path=path).build(Files(folder))


def test_an_empty_file_is_an_error(tmp_path) -> None:
    (tmp_path / "x.txt").touch()
    with pytest.raises(InputError, match=r"x\.txt: found 0 documents with 0 characters; expected text to train on"):
        TextSource(path="x.txt").build(Files(tmp_path)).fingerprint()


def test_a_manifest_does_not_read_outside_its_folder(folder, tmp_path) -> None:
    inside = folder / "b"
    (inside / "link.txt").symlink_to(folder / "c.txt")
    for path in (".", "*.txt", "link.txt"):
        with pytest.raises(RefusedError, match=r"data\.path"):
            TextSource(path=path).build(Files(inside))
    for path in ("../c.txt", str(folder / "c.txt"), "../*.txt"):
        with pytest.raises(RefusedError, match="--data PATH"):
            TextSource(path=path).build(Files(inside))
    given = str(inside)
    assert len(read(TextSource(path=given).build(Files(folder, allowed=frozenset({given}))))) == 3


def test_python_docs_contain_the_topics_of_pydoc() -> None:
    source = PythonDocsSource().build(Files(None))
    train, validation = list(source.documents("train")), list(source.documents("validation"))
    assert sorted(train + validation) == sorted(topics.values())
    total = sum(map(len, topics.values()))
    assert 0.04 * total < sum(map(len, validation)) <= 0.05 * total

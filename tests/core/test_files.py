import ast
import re
from pathlib import Path

import pytest

from jitkit.ablation.folder import GridFolder
from jitkit.ablation.grid import read_grid
from jitkit.discovery import create_plugin_manager
from jitkit.errors import InputError, RefusedError
from jitkit.files import Files, member_path, require_members
from jitkit.training.run_folder import RunFolder

ROOT = Path(__file__).parents[2]

OUTSIDE = ["/etc/passwd", "//server/share", "..", "../x", "a/../../x", "a/../b", "C:\\x", "C:x", "..\\x", "a\\b"]
UNUSABLE = ["", "./", "a\0b", "a\nb", "\x1b[2J", "a\x85", "\ud800", "x" * 256, "é" * 128, "a/" * 600 + "b"]
DEVICES = ["NUL", "con", "aux.txt", "a/COM1", "lpt9.tar.gz", "prn .x", "CONIN$"]


@pytest.mark.parametrize("name", [*OUTSIDE, *UNUSABLE, *DEVICES])
def test_an_unsafe_name_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    for use in (
        lambda: Files(tmp_path).path(name, field="tokenizer.file"),
        lambda: member_path(tmp_path, name, field="tokenizer.file"),
        lambda: require_members([name], file="x.pth", field="tokenizer.file"),
    ):
        with pytest.raises(RefusedError, match=r"tokenizer\.file: found path '") as caught:
            use()
        assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "name", ["a", "./a", "a/b.c", "..a", "a..b", "nullable", "com10", "größe 1.txt", "x" * 255, "*.txt"]
)
def test_a_safe_name_is_joined(tmp_path: Path, name: str) -> None:
    assert member_path(tmp_path, name) == tmp_path / name
    require_members([name], file="x.pth", field="tokenizer")


@pytest.mark.parametrize(
    "names",
    [
        ["manifest.toml"],
        ["./manifest.toml"],
        ["Manifest.TOML"],
        ["manifest.toml/a"],
        ["manifest.toml. "],
        ["a", "A"],
        ["a", "a/b"],
        ["a/b", "A"],
        ["\u00e9", "e\u0301"],
    ],
)
def test_two_names_of_one_file_are_refused(names: list[str]) -> None:
    with pytest.raises(RefusedError, match=r"x\.pth: tokenizer: found the name '"):
        require_members(names, taken=["manifest.toml"], file="x.pth", field="tokenizer")


def test_many_names_are_compared_in_linear_time() -> None:
    require_members((f"a/{n}" for n in range(50_000)), file="x.pth", field="tokenizer")


def test_a_link_cannot_leave_the_folder(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "link").symlink_to(tmp_path)
    with pytest.raises(RefusedError):
        Files(tmp_path / "inside").path("link/secret", field="tokenizer.file")
    (tmp_path / "inside" / "circle").symlink_to("circle")
    with pytest.raises(RefusedError):
        Files(tmp_path / "inside").path("circle", field="tokenizer.file")


def test_a_path_from_the_command_line_may_be_anywhere(tmp_path: Path) -> None:
    given = str(tmp_path / "novel.txt")
    assert Files(Path("elsewhere"), allowed=frozenset({given})).path(given, field="data.path") == Path(given)


def test_embedded_files_take_precedence_and_missing_ones_are_named(tmp_path: Path) -> None:
    files = Files(tmp_path, embedded={"a.tiktoken": b"ranks"})
    assert files.read("a.tiktoken", field="tokenizer.file") == b"ranks"
    with pytest.raises(InputError, match=r"b\.tiktoken: tokenizer\.file: found no such file"):
        files.read("b.tiktoken", field="tokenizer.file")


@pytest.mark.parametrize(
    "name", ["../x", "metrics.jsonl", "Best_model.pth", "checkpoint_epoch_3.pth", ".lock", "report.html"]
)
def test_a_run_does_not_write_a_tokenizer_over_its_own_files(tmp_path: Path, name: str) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    folder.metrics.write_text("earlier")
    with pytest.raises(RefusedError, match="tokenizer: found"):
        folder.begin("", {name: b""}, print, clear=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "metrics.jsonl"]


def test_a_grid_names_no_run_and_no_manifest_outside_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "grid.json").write_text('{"grid": "grid.toml", "cells": {"../elsewhere/seed-1": {}}}')
    with pytest.raises(RefusedError, match=r"grid\.json: cells: found path '\.\./elsewhere/seed-1'"):
        GridFolder(tmp_path).recipes()
    (tmp_path / "grid.toml").write_text('schema_version = 1\nsummary = "x"\nseeds = [1]\nmanifest = "../a.toml"\n')
    with pytest.raises(RefusedError, match=r"manifest: found path '\.\./a\.toml'.*zoo id"):
        read_grid(tmp_path / "grid.toml").find_manifest(create_plugin_manager())


NOT_FROM_DATA = {
    "jitkit/ablation/folder.py": {
        "self.path / run.folder",  # made by `file_name`
        "out / folder",  # checked by `GridFolder.recipes`
        "out / run",
        "out / REPLACED / f'{stem}-{number}'",
    },
    "jitkit/ablation/results.py": {"out / name"},  # a constant
    "jitkit/ablation/runner.py": {"self.out / folder"},  # checked by `GridFolder.recipes`
    "jitkit/bench/sections.py": {"median(repeat(consecutive_steps(target, task))) / step_seconds"},  # a number
    "jitkit/cli/evaluate.py": {"folder / name"},  # a constant
    "jitkit/cli/export.py": {"folder / name"},  # shown
    "jitkit/data/preparation.py": {"home / key", "home / f'{key}.lock'", "home / f'{key}.partial'"},
    "jitkit/data/prepared_index.py": {
        "folder / name",
        "folder / shard_name(split, number)",
        "folder / f'{number:05}.json'",
    },
    "jitkit/data/standard_input.py": {"folder / f'{digest[:32]}.txt'"},
    "jitkit/hub/cache.py": {  # a checked reference, and a commit of hexadecimal digits; the third is shown
        "hub_cache() / reference.id.replace('/', '--')",
        "folder / commit",
        "folder / name",
    },
    "jitkit/hub/download.py": {
        "home / reference.revision",
        "home / commit",
        "commits_folder(commit.reference) / commit.reference.revision",
    },
    "jitkit/evaluation/partial_results.py": {
        "folder / f'{self._prefix}-{hashlib.sha256(name.encode()).hexdigest()[:16]}.json'"
    },
    "jitkit/evaluation/runner.py": {"folder / f'{model.path.stem}.eval'"},  # from the command line
    "jitkit/files.py": {"folder / name"},
    "jitkit/filesystem.py": {"folder / name", "path / part"},  # found on disk, and a pattern from the command line
    "jitkit/pictures/album.py": {"folder / _file_name(number)"},
    "jitkit/pictures/file_names.py": {"folder / f'seed-{seed}{ending}'"},
    "jitkit/report/run_record.py": {"folder / name"},  # a constant
    "jitkit/storage/atomic.py": {"path.parent / f'.{path.name[:40]}.{secrets.token_hex(4)}{SUFFIX}'"},
    "jitkit/storage/cache.py": {"folder / part"},
    "jitkit/testing/conformance/sampler.py": {"(z - signal * x).std() / path.noise_scale"},  # a number
    "jitkit/training/reporting.py": {"folder / f'diverged_step_{step}.json'"},
    "jitkit/checkpoints/run_index.py": {"folder / name"},  # checked by `read_index`
    "jitkit/checkpoints/save_shards.py": {"self.temporary / name"}  # a rank
    | {f"self.temporary / _report_name({rank})" for rank in ("rank", "self.rank")},
    "jitkit/training/earlier_run.py": {"folder / name"},  # a constant
    "plugins/jitkit_plugins/sources/tables.py": {"folder / f'{part}{cls.path_suffixes[0]}'"},
    "plugins/jitkit_plugins/tokenizers/published.py": {"folder / key"},  # a digest
}
FOLDER = re.compile(r"path|folder|root|home|\bout\b|parent|cache|place|temporary|target|\bbase\b", re.IGNORECASE)


def test_only_member_path_joins_a_name_to_a_folder() -> None:
    """Every other join is of a constant, or of a name that jitkit makes itself and that is listed above."""
    sources = [*(ROOT / "jitkit").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]
    unknown = [
        f"{path}:{node.lineno}: {ast.unparse(node)}"
        for path in sources
        for node in ast.walk(ast.parse(path.read_text()))
        if _is_join(node) and ast.unparse(node) not in NOT_FROM_DATA.get(path.relative_to(ROOT).as_posix(), ())
    ]
    assert not unknown, "\n".join(["join names that come from a file with member_path:", *unknown])


def _is_join(node: ast.AST) -> bool:
    """Return whether an expression joins something other than a constant to what looks like a folder."""
    if isinstance(node, ast.Call):
        return ast.unparse(node.func).endswith((".joinpath", "path.join"))
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Div):
        return False
    is_own = isinstance(node.right, ast.Constant) or ast.unparse(node.right).isupper()
    return not is_own and bool(FOLDER.search(ast.unparse(node.left)))

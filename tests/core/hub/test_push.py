"""Models go to the Hub: what travels, what is refused, and what arrives."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from jitkit.checkpoints.export import CardOptions, export_model, files_to_share
from jitkit.checkpoints.local_paths import described_without_folders, without_folders
from jitkit.checkpoints.open import open_model
from jitkit.errors import InputError, RefusedError, ResourceError, UsageError
from jitkit.hub.reference import Reference
from jitkit.hub.upload import upload
from tests.core.hub.conftest import Command
from tests.hub_server import Hub

TINY = Reference("ada/tiny")


@pytest.mark.usefixtures("login")
@pytest.mark.filterwarnings("ignore::jitkit.errors.UnpinnedWarning")
def test_push_then_pull_gives_the_same_model(hub: Hub, run: Path, files: dict[str, bytes]) -> None:
    uploaded = upload(files, TINY, message="the first")
    assert hub.repositories["ada/tiny"].commits == [(uploaded.reference.revision, files)]
    assert hub.repositories["ada/tiny"].messages == ["the first"]
    assert set(files) == {"manifest.toml", "model.safetensors", "README.md", "film-strip.png"}
    ours, theirs = open_model(run), open_model(f"hf:ada/tiny@{uploaded.reference.revision}")
    assert theirs.weights().keys() == ours.weights().keys()
    assert all(value.equal(ours.weights()[name]) for name, value in theirs.weights().items())
    texts = [[text.text for text in model.pipeline().generate([1, 2])] for model in (ours, theirs)]
    assert texts[0] == texts[1]


@pytest.mark.usefixtures("login")
def test_an_exported_folder_is_sent_as_it_is(hub: Hub, run: Path, tmp_path: Path) -> None:
    export_model(open_model(run), tmp_path / "out", bf16=True)
    (tmp_path / "out" / "README.md").write_text("# my own words")
    (tmp_path / "out" / "notes.txt").write_text("private")
    files = files_to_share(open_model(tmp_path / "out"))
    assert files["README.md"] == b"# my own words"
    assert files["model.safetensors"] == (tmp_path / "out" / "model.safetensors").read_bytes()
    assert "notes.txt" not in files
    upload(files, TINY, message="x")
    with pytest.raises(UsageError, match=r"out: found options for an exported folder"):
        files_to_share(open_model(tmp_path / "out"), card=CardOptions(license="mit"))
    (tmp_path / "out" / "film-strip.png").write_bytes(b"")
    with pytest.raises(RefusedError, match=r"film-strip\.png: sha256"):
        files_to_share(open_model(tmp_path / "out"))


@pytest.mark.parametrize("name", ["notes.txt", "model.pth", "code.py", "../x", "a.tiktoken", "SHA256SUMS"])
def test_other_files_are_not_sent(hub: Hub, files: dict[str, bytes], name: str) -> None:
    with pytest.raises(RefusedError, match=r"^hf:ada/tiny: found a file '.*'; expected only manifest\.toml, model"):
        upload({**files, name: b""}, TINY, message="x")
    assert hub.requests == []


def test_what_is_shared_names_the_text_but_no_folder_of_this_machine(run: Path, files: dict[str, bytes]) -> None:
    text = run.parent / "text.txt"
    assert str(text) in open_model(run).checkpoint.data["origin"]
    assert str(text) in (run / "manifest.toml").read_text()
    for name in ("manifest.toml", "README.md"):
        assert b"text.txt" in files[name]
        assert str(run.parent).encode() not in files[name]
    assert not [name for name, content in files.items() if str(Path.home() / "x")[:-1].encode() in content]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/home/ada/novel.txt", "novel.txt"),
        ("/home/ada (x)/a, b = c/novel (1).txt", "novel (1).txt"),
        ("../ada/novels/", "novels"),
        ("/home/ada/novels/*.txt", "*.txt"),
        (r"C:\Users\ada\novel.txt", "novel.txt"),
        ("novel.txt", "novel.txt"),
    ],
)
def test_folders_are_removed_from_paths_of_any_form(run: Path, path: str, name: str) -> None:
    manifest = open_model(run).components().manifest
    manifest = manifest.model_copy(
        update={
            "data": manifest.data.model_validate({**manifest.data.model_dump(), "path": path}),
            "train": manifest.train.model_copy(update={"prepared": "/home/ada/prepared"}),
        }
    )
    shared = without_folders(manifest)
    assert (shared.data.options["path"], shared.train.prepared) == (name, "prepared")
    other = "tiny, 3 steps on text (path = /home/bob/bills.txt, validation_fraction = 0.3)"
    data = {"origin": f"text (path = {path}, nulls = skip)", "initial": other, "fingerprint": "0"}
    assert described_without_folders(data, manifest) == {
        "origin": f"text (path = {name}, nulls = skip)",
        "initial": "tiny, 3 steps on text (path = bills.txt, validation_fraction = 0.3)",
        "fingerprint": "0",
    }


def test_a_push_needs_a_login(hub: Hub, files: dict[str, bytes]) -> None:
    with pytest.raises(
        InputError, match=r"hf:ada/tiny: found HTTP status 401 .*a token with permission\. `hf auth login`"
    ):
        upload(files, TINY, message="x")
    assert hub.repositories == {}


@pytest.mark.usefixtures("login")
def test_a_private_model_does_not_go_to_a_public_repository(hub: Hub, files: dict[str, bytes]) -> None:
    upload(files, Reference("ada/secret"), message="x", private=True)
    assert hub.repositories["ada/secret"].private
    hub.add("ada/tiny", {"README.md": b""})
    with pytest.raises(UsageError, match=r"hf:ada/tiny: --private: found a public repository; expected a private one"):
        upload(files, TINY, message="x", private=True)
    assert len(hub.repositories["ada/tiny"].commits) == 1


@pytest.mark.usefixtures("login")
def test_a_hub_that_fails_is_one_line(hub: Hub, files: dict[str, bytes]) -> None:
    hub.status = 500
    with pytest.raises(ResourceError, match=r"hf:ada/tiny: found HTTP status 500"):
        upload(files, TINY, message="x")


@pytest.mark.slow
def test_the_commands(run: Path, commands: tuple[Hub, Command], tmp_path: Path) -> None:
    hub, command = commands
    pushed = json.loads(command("push", run, "ada/tiny", "--license", "mit", "--samples", 1, "--json").stdout)
    commit = pushed["commit"]
    assert pushed["schema"] == "jitkit.push/1"
    assert pushed["url"] == f"{hub.url}/ada/tiny/commit/{commit}"
    assert hub.repositories["ada/tiny"].messages == ["Upload tiny, 3 steps"]
    pulled = command("pull", "hf:ada/tiny", "-o", tmp_path / "copy")
    assert pulled.stdout == f"{tmp_path / 'copy'}\n"
    assert f"hf:ada/tiny is commit {commit}" in pulled.stderr
    assert subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=tmp_path / "copy", check=True, capture_output=True)
    offline = command("generate", "hf:ada/tiny", HF_HUB_OFFLINE="1")
    assert offline.stdout == command("generate", run).stdout
    assert command("zoo", "show", f"hf:ada/tiny@{commit}").stdout == (tmp_path / "copy" / "manifest.toml").read_text()
    absent = command("generate", "hf:ada/none", "--json", exit_code=4)
    assert json.loads(absent.stdout)["error"]["file"] == "hf:ada/none"
    command("push", run, "ada/tiny@v1", exit_code=2)

"""Models come from the Hub whole and unchanged, or not at all. The server and `huggingface_hub` are real."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest
import torch

from jitkit.checkpoints.open import find_model, open_model
from jitkit.discovery import create_plugin_manager
from jitkit.errors import InputError, JitkitError, RefusedError, ResourceError, UnpinnedWarning
from jitkit.hub.cache import hub_cache
from jitkit.report.run_record import read_run
from jitkit.storage.exported_folder import read_sums
from jitkit.zoo.index import find_manifest
from tests.core.hub.conftest import Command
from tests.hub_server import Hub

pytestmark = pytest.mark.filterwarnings("ignore::jitkit.errors.UnpinnedWarning")

MODEL = "hf:ada/tiny"


def left() -> list[str]:
    """Return the files in the cache of downloads, except locks."""
    return [path.name for path in hub_cache().rglob("*") if path.is_file() and path.suffix != ".lock"]


def refused(error: type[JitkitError], message: str, name: str = MODEL) -> None:
    """Require that a model cannot be opened, with one line that names it, and that nothing is kept of it."""
    with pytest.raises(error, match=message) as caught:
        open_model(name)
    assert len(caught.value.lines()) == 1
    assert "\n" not in caught.value.lines()[0]
    assert "ada/tiny" in caught.value.lines()[0]
    assert left() == []


def test_a_model_is_downloaded_once_and_is_like_an_exported_folder(hub: Hub, files: dict[str, bytes]) -> None:
    commit = hub.add("ada/tiny", files)
    with pytest.warns(UnpinnedWarning, match=f"hf:ada/tiny is commit {commit}$"):
        weights = find_model(MODEL)
    folder = weights.parent
    assert folder.name == commit
    assert {name: (folder / name).read_bytes() for name in files} == files
    assert {path.name for path in folder.iterdir()} == {*files, "SHA256SUMS"}
    assert read_sums(folder) == {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    downloads = [line for line in hub.requests if "/resolve/" in line]
    assert find_model(MODEL) == weights
    assert find_manifest(MODEL, create_plugin_manager()) == folder / "manifest.toml"
    assert [line for line in hub.requests if "/resolve/" in line] == downloads
    assert open_model(MODEL).own_folder is None  # results about it go elsewhere


def test_the_progress_of_a_download_has_a_real_total(hub: Hub, files: dict[str, bytes]) -> None:
    hub.add("ada/tiny", files)
    calls: list[tuple[str, int, int]] = []
    find_model(MODEL, progress=lambda *call: calls.append(call))
    total = sum(len(content) for name, content in files.items() if name != "manifest.toml")
    assert calls[-1] == ("downloading", total, total)
    assert {call[2] for call in calls} == {total}


def test_only_the_files_of_the_model_travel(hub: Hub, files: dict[str, bytes]) -> None:
    others = {"evil.pkl": b"cos\nsystem\n.", "modeling.py": b"1/0", "a.toml": files["manifest.toml"], "x/y.md": b"z"}
    hub.add("ada/tiny", {**files, **others})
    folder = find_model(MODEL).parent
    assert {path.name for path in folder.rglob("*")} == {*files, "SHA256SUMS"}
    assert not [line for line in hub.requests if any(f"/{name}" in line for name in others)]


def test_a_model_card_is_not_necessary(hub: Hub, files: dict[str, bytes]) -> None:
    hub.add("ada/tiny", {name: files[name] for name in ("manifest.toml", "model.safetensors")})
    open_model(MODEL).pipeline()


def test_files_of_the_tokenizer_travel_too(hub: Hub, files: dict[str, bytes]) -> None:
    text = (
        files["manifest.toml"]
        .decode()
        .replace('use = "bytes"', 'use = "tiktoken"\nfile = "a/b.tiktoken"\npattern = "."')
    )
    hub.add("ada/tiny", {**files, "manifest.toml": text.encode()})
    refused(InputError, r"hf:ada/tiny@[0-9a-f]{40}: found no file 'a/b\.tiktoken'; expected a model of jitkit")
    hub.add("ada/tiny", {"a/b.tiktoken": b"AA== 0\n"})
    assert (find_model(MODEL).parent / "a" / "b.tiktoken").read_bytes() == b"AA== 0\n"


@pytest.mark.slow
def test_training_starts_from_a_model_of_the_hub_and_evaluation_measures_it(
    commands: tuple[Hub, Command], run: Path, files: dict[str, bytes], tmp_path: Path
) -> None:
    hub, command = commands
    commit = hub.add("ada/tiny", files)
    other = tmp_path / "other.txt"
    other.write_text("It was the best of times, it was the worst of times.\n" * 40)
    tiny_steps = ("--set", "train.max_steps=1", "--set", "train.lr=1e-12")
    started = command(
        "train", run / "manifest.toml", "--init", MODEL, "--data", other, "--out", tmp_path / "run", *tiny_steps
    )
    assert f"{MODEL} is commit {commit}" in started.stderr
    assert (read_run(tmp_path / "run").initial or "").startswith("tiny, 3 steps on text")
    ours, theirs = open_model(tmp_path / "run").weights(), open_model(run).weights()
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in theirs)
    reports = [
        json.loads(
            command("eval", "--checkpoint", name, "--data", other, "--quick", "--json", HF_HUB_OFFLINE=offline).stdout
        )
        for name, offline in ((MODEL, "1"), (run, "0"))
    ]
    assert reports[0]["validation"] == reports[1]["validation"]
    assert not list((tmp_path / "cache" / "hub").rglob("report*"))


# ---------------------------------------------------------------------------------------------------------------- refused


def test_a_repository_that_does_not_exist(hub: Hub) -> None:
    refused(
        InputError, r"^hf:ada/tiny: found no such repository, or one that needs a login; expected a model\. `hf auth"
    )


def test_a_private_repository_needs_a_login(hub: Hub, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("ada/tiny", files, private=True)
    refused(InputError, "needs a login")
    monkeypatch.setenv("HF_TOKEN", "hf_of_ada")
    open_model(MODEL)


def test_a_gated_repository_needs_its_owner(hub: Hub, files: dict[str, bytes]) -> None:
    hub.add("ada/tiny", files, gated=True)
    refused(
        InputError, r"found a repository that its owner opens on request; expected one you may read\. Request access"
    )


def test_an_unknown_revision(hub: Hub, files: dict[str, bytes]) -> None:
    hub.add("ada/tiny", files)
    refused(InputError, "found no revision 'v9'; expected a branch, tag or commit", f"{MODEL}@v9")


@pytest.mark.parametrize("missing", ["manifest.toml", "model.safetensors"])
def test_a_repository_that_is_no_model(hub: Hub, files: dict[str, bytes], missing: str) -> None:
    hub.add("ada/tiny", {name: content for name, content in files.items() if name != missing})
    refused(InputError, f"found no file '{missing}'; expected a model of jitkit, as `jitkit push` writes it")


@pytest.mark.parametrize(
    ("status", "error"), [(500, ResourceError), (503, ResourceError), (429, ResourceError), (403, InputError), (418, InputError)]
)  # fmt: skip
def test_an_answer_that_means_failure(hub: Hub, status: int, error: type[JitkitError]) -> None:
    hub.status = status
    refused(error, f"hf:ada/tiny: found HTTP status {status}")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "README.md", "a\\b", "Model.safetensors"])
def test_a_manifest_cannot_name_a_file_elsewhere(hub: Hub, files: dict[str, bytes], name: str) -> None:
    text = files["manifest.toml"].decode().replace('use = "bytes"', f"use = 'tiktoken'\nfile = '{name}'")
    hub.add("ada/tiny", {**files, "manifest.toml": text.encode()})
    refused(RefusedError, r"tokenizer\.file or codec\.file: found (path|the name) '")


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("schema_version = 1", "schema_version = ", JitkitError),
        ('file = "model.safetensors"', 'file = "weights/model.safetensors"', InputError),
        ('sha256 = "', f'sha256 = "{"0" * 64}" # ', RefusedError),
    ],
)
def test_a_manifest_that_does_not_fit(
    hub: Hub, files: dict[str, bytes], old: str, new: str, error: type[JitkitError]
) -> None:
    text = files["manifest.toml"].decode()
    assert old in text
    hub.add("ada/tiny", {**files, "manifest.toml": text.replace(old, new).encode()})
    refused(error, r"hf:ada/tiny@[0-9a-f]{40}/(manifest\.toml|model\.safetensors)")


@pytest.mark.parametrize("name", ["manifest.toml", "model.safetensors", "README.md", "film-strip.png"])
def test_a_tampered_download(hub: Hub, files: dict[str, bytes], name: str) -> None:
    hub.add("ada/tiny", files)
    hub.tampered[name] = files[name][:-1] + bytes([files[name][-1] ^ 1])
    refused(RefusedError, rf"hf:ada/tiny@[0-9a-f]{{40}}/{name}: found {len(files[name])} bytes, .*as the Hub states")
    hub.tampered.clear()
    open_model(MODEL)


@pytest.mark.parametrize("name", ["manifest.toml", "model.safetensors"])
def test_a_truncated_download(hub: Hub, files: dict[str, bytes], name: str) -> None:
    hub.add("ada/tiny", files)
    hub.truncated.add(name)
    refused(ResourceError, r"hf:ada/tiny@[0-9a-f]{40}: found OSError \(Consistency check failed.*Try again\.")
    hub.truncated.clear()
    open_model(MODEL)


def test_a_huge_file_besides_the_weights(hub: Hub, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jitkit.hub.commit.MAX_SIZE", 100)
    hub.add("ada/tiny", files)
    refused(RefusedError, "manifest.toml: found .* bytes; expected at most 100 bytes")


# ------------------------------------------------------------------------------------------------------------------- cache


def test_a_branch_moves_and_a_commit_does_not(hub: Hub, files: dict[str, bytes]) -> None:
    first = hub.add("ada/tiny", files)
    assert find_model(MODEL).parent.name == first
    second = hub.add("ada/tiny", {"README.md": b"# another"})
    assert find_model(MODEL).parent.name == second
    hub.requests.clear()
    assert find_model(f"{MODEL}@{first}").parent.name == first
    assert hub.requests == []


@pytest.mark.parametrize("how", ["HF_HUB_OFFLINE", "no server", "no package"])
def test_a_model_in_the_cache_needs_no_connection(
    hub: Hub, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    commit = hub.add("ada/tiny", files)
    before = [text.text for text in open_model(MODEL).pipeline().generate([1])]
    cut_off(how, monkeypatch)
    with pytest.warns(UnpinnedWarning, match=f"is commit {commit}, the last one in the cache"):
        assert [text.text for text in open_model(MODEL).pipeline().generate([1])] == before
    open_model(f"{MODEL}@{commit}")
    monkeypatch.setattr("jitkit.checkpoints.open.parse_reference", lambda _: pytest.fail("a name of the Hub"))
    open_model(hub_cache() / "ada--tiny" / commit)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("HF_HUB_OFFLINE", r"^hf:ada/tiny: found HF_HUB_OFFLINE, and no download in the cache; expected a connection"),
        ("no server", r"^hf:ada/tiny: found ConnectError \(.*, and no download in the cache; expected a connection"),
        ("no package", r"^hf:ada/tiny: found no package huggingface_hub, and no .*pip install 'jitkit\[hub\]'"),
    ],
)
def test_offline_and_not_cached(hub: Hub, monkeypatch: pytest.MonkeyPatch, how: str, message: str) -> None:
    cut_off(how, monkeypatch)
    refused(ResourceError, message)
    assert not (hub_cache() / "ada--tiny").exists()


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("manifest.toml", append),
        ("README.md", append),
        ("film-strip.png", Path.unlink),
        ("model.safetensors", append),
        ("other.toml", Path.touch),
    ],
)
def test_a_download_that_changed_in_the_cache(hub: Hub, files: dict[str, bytes], name: str, change) -> None:
    commit = hub.add("ada/tiny", files)
    folder = find_model(MODEL).parent
    change(folder / name)
    for model in (MODEL, f"{MODEL}@{commit}"):
        with pytest.raises(RefusedError, match=rf"{folder}/{name}: .*found .*; expected "):
            open_model(model)


def test_a_damaged_record_of_revisions_is_replaced(hub: Hub, files: dict[str, bytes]) -> None:
    hub.add("ada/tiny", files)
    record = find_model(MODEL).parents[1] / "revisions.json"
    for content in (b"{", b"[]", b'{"main": 3}', b'{"main": "../../x"}'):
        record.write_bytes(content)
        hub.status = 503
        with pytest.raises(ResourceError):
            find_model(MODEL)
        hub.status = None
        find_model(MODEL)


def cut_off(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the connection to the Hub away."""
    from huggingface_hub import constants

    if how == "HF_HUB_OFFLINE":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    elif how == "no server":
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    else:
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)

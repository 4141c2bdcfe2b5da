"""A model is found by file, folder or zoo id, and read and hashed once."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from jitkit import hookimpl
from jitkit.assembly import assemble
from jitkit.checkpoints import export, open
from jitkit.checkpoints.export import export_model
from jitkit.checkpoints.format import save_checkpoint
from jitkit.checkpoints.open import find_model, open_model
from jitkit.checkpoints.run_index import RunIndex, recorded, write_index
from jitkit.discovery import create_plugin_manager
from jitkit.errors import InputError, JitkitError, PluginError, RefusedError
from jitkit.evaluation.runner import Scope, evaluate_checkpoint
from jitkit.manifest.schema import Manifest
from jitkit.manifest.writer import manifest_to_toml
from jitkit.storage.safetensors_file import read_safetensors
from tests.tiny import checkpoint_of, resolved


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with a best model."""
    folder = tmp_path / "run"
    folder.mkdir()
    save_checkpoint(folder / open.BEST, checkpoint_of(assemble(resolved())))
    return folder


@pytest.fixture
def exported(run: Path) -> Path:
    folder = run.parent / "shared"
    export_model(open_model(run), folder)
    return folder


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of what was hashed."""
    sizes: list[int] = []
    digest = hashlib.sha256

    def counted(data: bytes | memoryview = b"", **options: Any) -> Any:
        sizes.append(len(data))
        return digest(data, **options)

    monkeypatch.setattr(hashlib, "sha256", counted)
    return sizes


def test_a_run_folder_means_its_best_model(run: Path) -> None:
    assert find_model(run) == run / open.BEST


def test_an_exported_folder_means_the_weights_that_its_manifest_names(exported: Path) -> None:
    assert find_model(exported) == exported / export.WEIGHTS
    (exported / "weights").mkdir()
    (exported / export.WEIGHTS).rename(exported / "weights" / "w.safetensors")
    manifest = exported / open.MANIFEST
    manifest.write_text(manifest.read_text().replace(export.WEIGHTS, "weights/w.safetensors"))
    assert find_model(exported) == exported / "weights" / "w.safetensors"


def test_a_zoo_id_means_its_weights(exported: Path) -> None:
    class Plugin:
        @hookimpl
        def jitkit_zoo(self) -> list[Path]:
            return [exported]

    assert find_model("tiny", create_plugin_manager([Plugin()])) == exported / export.WEIGHTS


def test_all_names_of_a_model_give_the_same_texts(run: Path, exported: Path) -> None:
    files = (run, run / open.BEST, exported, exported / export.WEIGHTS)
    texts = [[text.text for text in open_model(file).pipeline().generate([1, 2])] for file in files]
    assert texts == texts[:1] * len(files)


def test_a_folder_without_a_model_is_one_line(tmp_path: Path, exported: Path) -> None:
    for name in ("empty", "recipe"):
        (tmp_path / name).mkdir()
    manifest = (exported / open.MANIFEST).read_text()
    (tmp_path / "recipe" / open.MANIFEST).write_text(manifest.partition("[weights]")[0])
    for name in ("empty", "recipe"):
        with pytest.raises(
            InputError, match=rf"{name}: found a folder without a model; expected best_model\.pth"
        ) as caught:
            open_model(tmp_path / name)
        assert "\n" not in str(caught.value)
        assert str(caught.value).endswith("names weights.")


def test_a_folder_of_run_folders_names_them(tmp_path: Path, run: Path, exported: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError) as caught:
        open_model(tmp_path)
    assert str(caught.value).endswith(f"It holds {run}, {exported}.")
    for number in range(6):
        shutil.copytree(exported, tmp_path / f"c{number}")
    with pytest.raises(InputError, match=r"c4, \.\.\.\.$"):
        open_model(tmp_path)


def test_a_file_that_is_no_model_is_described_in_plain_words(tmp_path: Path) -> None:
    (tmp_path / "story.txt").write_text("Once upon a time, é.")
    with pytest.raises(
        InputError, match=r"story\.txt: found a text file; expected a model: a \.pth or \.safetensors file"
    ):
        open_model(tmp_path / "story.txt")


def test_a_zoo_id_without_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^jit-b4: weights\.file: found a manifest without weights"):
        open_model("jit-b4")


def test_a_manifest_means_the_weights_that_it_names(exported: Path) -> None:
    assert find_model(exported / open.MANIFEST) == exported / export.WEIGHTS
    (exported / export.WEIGHTS).unlink()
    with pytest.raises(InputError, match=r"model\.safetensors: weights\.file: found no such file"):
        find_model(exported)
    manifest = exported / open.MANIFEST
    manifest.write_text(manifest.read_text().partition("[weights]")[0])
    with pytest.raises(InputError, match=r"found a manifest without weights.*Train it: jitkit train .*manifest\.toml"):
        open_model(manifest)


def test_a_run_folder_without_a_best_model_means_its_newest_checkpoint(run: Path) -> None:
    (run / open.BEST).rename(run / "checkpoint_epoch_2.pth")
    files = {"checkpoint_epoch_2.pth": recorded(run / "checkpoint_epoch_2.pth", "checkpoint", 2)}
    write_index(run, RunIndex(schema="jitkit.run/1", files=files))
    assert find_model(run) == run / "checkpoint_epoch_2.pth"


def test_a_manifest_in_a_folder_cannot_name_weights_outside_of_it(exported: Path) -> None:
    shutil.move(exported / export.WEIGHTS, exported.parent / "w.safetensors")
    manifest = exported / open.MANIFEST
    manifest.write_text(manifest.read_text().replace(export.WEIGHTS, "../w.safetensors"))
    with pytest.raises(RefusedError, match=r"weights\.file"):
        open_model(exported)


def test_an_unknown_name_suggests_the_nearest_zoo_id() -> None:
    with pytest.raises(InputError, match=r"no zoo id 'jit-nanno'.*Did you mean jit-nano\?"):
        open_model("jit-nanno")
    with pytest.raises(InputError, match=r"a manifest without weights.*jitkit train jit-h4"):
        open_model("jit-h4")


@pytest.mark.parametrize("name", ["run", "shared"])
def test_an_evaluation_hashes_the_model_once(
    run: Path, exported: Path, hashed: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("JITKIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "text.txt").write_text("It was a bright cold day in April. " * 200)
    model = open_model(tmp_path / name)
    report = evaluate_checkpoint(model, data=tmp_path / "text.txt", metrics=["codec"], scope=Scope(limit=2), keep=True)
    assert hashed.count(model.path.stat().st_size) == 1
    assert report["provenance"]["checkpoint_sha256"] == hashlib.sha256(model.path.read_bytes()).hexdigest()


def test_overrides_change_a_pipeline_and_not_the_opened_model(run: Path) -> None:
    model = open_model(run)
    plain, changed = model.components().manifest, model.components(["sampler.steps=5"]).manifest
    assert isinstance(plain, Manifest)
    assert (plain.sampler.options["steps"], changed.sampler.options["steps"]) == (3, 5)


@pytest.mark.parametrize(("which", "value"), [("ema_state_dict", torch.nan), ("model_state_dict", torch.inf)])
def test_weights_that_are_not_finite_are_never_used(tmp_path: Path, which: str, value: float) -> None:
    checkpoint = checkpoint_of(assemble(resolved()))
    poisoned = {name: tensor.clone() for name, tensor in checkpoint.model_state_dict.items()}
    poisoned["pixel_head.bias"][3] = value
    state = {"0.9": poisoned} if which == "ema_state_dict" else poisoned
    save_checkpoint(tmp_path / "x.pth", dataclasses.replace(checkpoint, **{which: state}))
    model = open_model(tmp_path / "x.pth")
    for use in (model.pipeline, lambda: export_model(model, tmp_path / "out")):
        with pytest.raises(InputError, match=r"x\.pth: pixel_head\.bias: found values that are not finite"):
            use()
    assert not (tmp_path / "out").exists()


def test_a_plugin_that_is_missing_is_named_with_its_version(run: Path, tmp_path: Path) -> None:
    checkpoint = checkpoint_of(assemble(resolved()))
    manifest = checkpoint.manifest.replace('use = "code"', 'use = "hsv"')
    versions = {**checkpoint.versions, "jitkit-hsv": "0.2"}
    save_checkpoint(tmp_path / "x.pth", dataclasses.replace(checkpoint, manifest=manifest, versions=versions))
    with pytest.raises(PluginError, match=r"codec.*'hsv'.*saved with jitkit-hsv 0\.2, which is not installed"):
        open_model(tmp_path / "x.pth").pipeline()


# ------------------------------------------------------------------------------------------------ files that change or are in the way


def test_the_hash_is_that_of_the_content_that_was_read(run: Path) -> None:
    path = run / open.BEST
    content = path.read_bytes()
    model = open_model(path)
    path.with_name("new").write_bytes(b"another file")
    path.with_name("new").replace(path)
    assert model.sha256 == hashlib.sha256(content).hexdigest()
    assert model.pipeline().generate([1])


@pytest.mark.parametrize("in_place", [False, True])
def test_weights_that_change_while_they_are_opened_are_never_used_under_the_hash_of_others(
    exported: Path, in_place: bool
) -> None:
    path = exported / export.WEIGHTS
    good = path.read_bytes()
    bad = good[:-4] + bytes(4)
    expected = read_safetensors(path)
    stop = threading.Event()

    def swap() -> None:
        for content in itertools.cycle((bad, good)):
            if stop.is_set():
                return
            if in_place:
                with path.open("r+b") as file:
                    file.write(content)
            else:
                path.with_suffix(".new").write_bytes(content)
                path.with_suffix(".new").replace(path)

    thread = threading.Thread(target=swap)
    thread.start()
    outcomes = set()
    try:
        for number in range(300):
            if number > 40 and len(outcomes) == 2:
                break
            try:
                weights = open_model(exported).weights()
            except RefusedError:
                outcomes.add("refused")
            else:
                assert all(weights[name].equal(value) for name, value in expected.items())
                outcomes.add("loaded")
    finally:
        stop.set()
        thread.join()
    assert outcomes == {"refused", "loaded"}


def _broken(path: Path) -> None:
    path.write_text("weights = [[[")


def _huge(path: Path) -> None:
    path.write_text("# x\n" * 2**20)


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def _circle(path: Path) -> None:
    path.symlink_to(path.name)


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.mkdir()


def _hostile(path: Path) -> None:
    path.write_text('[weights]\nfile = "../../\\u0000x"\n')


@pytest.mark.parametrize("make", [_broken, _huge, _dangling, _circle, _pipe, _folder, _hostile])
def test_another_toml_file_beside_a_model_does_not_matter(
    run: Path, exported: Path, make: Callable[[Path], None]
) -> None:
    make(exported / "a.toml")
    make(exported.parent / "a.toml")
    make(run / "a.toml")
    assert open_model(exported).pipeline()
    assert open_model(exported / export.WEIGHTS).pipeline()
    assert open_model(run).pipeline()
    (exported / open.MANIFEST).unlink()
    with pytest.raises(InputError, match="weights without a manifest"):
        open_model(exported / export.WEIGHTS)


@pytest.mark.parametrize("make", [_broken, _huge, _pipe])
def test_a_broken_manifest_of_a_model_is_named(exported: Path, make: Callable[[Path], None]) -> None:
    (exported / open.MANIFEST).unlink()
    make(exported / open.MANIFEST)
    for model in (exported, exported / export.WEIGHTS):
        with pytest.raises(JitkitError, match=r"shared/manifest\.toml"):
            open_model(model)


PROGRAM = """
import resource, sys
from jitkit.checkpoints.open import open_model

model = open_model(sys.argv[1])
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 10**9, used + 10**9))
try:
    model.pipeline()
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_small_checkpoint_of_a_large_network_needs_no_memory_for_it(tmp_path: Path) -> None:
    checkpoint = checkpoint_of(assemble(resolved()))
    manifest = manifest_to_toml(resolved("backbone.embed_dim=8192", "backbone.depth=16").manifest)
    save_checkpoint(tmp_path / "x.pth", dataclasses.replace(checkpoint, manifest=manifest))
    command = [sys.executable, "-c", PROGRAM, tmp_path / "x.pth"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("InputError")
    assert "expected (" in done.stdout

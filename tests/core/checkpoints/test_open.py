"""A model is found by file, folder or zoo id, and read and hashed once."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from jitkit import hookimpl
from jitkit.assembly import assemble
from jitkit.checkpoints import export, open
from jitkit.checkpoints.export import export_model
from jitkit.checkpoints.format import save_checkpoint
from jitkit.checkpoints.open import find_model, open_model
from jitkit.discovery import create_plugin_manager
from jitkit.errors import InputError, RefusedError
from jitkit.evaluation.runner import Scope, evaluate_checkpoint
from jitkit.manifest.schema import Manifest
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


def test_a_manifest_in_a_folder_cannot_name_weights_outside_of_it(exported: Path) -> None:
    shutil.move(exported / export.WEIGHTS, exported.parent / "w.safetensors")
    manifest = exported / open.MANIFEST
    manifest.write_text(manifest.read_text().replace(export.WEIGHTS, "../w.safetensors"))
    with pytest.raises(RefusedError, match=r"weights\.file"):
        open_model(exported)


def test_an_unknown_name_suggests_the_nearest_zoo_id() -> None:
    with pytest.raises(InputError, match=r"no zoo id 'jit-nanno'.*Did you mean jit-nano\?"):
        open_model("jit-nanno")
    with pytest.raises(InputError, match=r"zoo model without weights.*jitkit train jit-h4"):
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

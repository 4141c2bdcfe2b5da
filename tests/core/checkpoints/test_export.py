from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest
import torch

from jitkit.checkpoints.export import export_model
from jitkit.checkpoints.format import load_checkpoint
from jitkit.checkpoints.open import load_pipeline, open_model
from jitkit.checkpoints.weights import load_weights
from jitkit.discovery import create_plugin_manager
from jitkit.errors import InputError, RefusedError
from jitkit.evaluation.runner import Scope, evaluate_checkpoint
from jitkit.protocols import LearnedSchedule, NoiseSchedule
from tests.training_lab import Lab


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A best model, and the folder it was exported to."""
    lab = Lab(tmp_path_factory.mktemp("lab"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JITKIT_CACHE", str(lab.home / "cache"))
        lab.train("run", "train.max_steps=3")
    checkpoint = lab.home / "run" / "best_model.pth"
    export_model(open_model(checkpoint), lab.home / "shared")
    return checkpoint, lab.home / "shared"


def test_every_file_has_its_hash(exported: tuple[Path, Path]) -> None:
    folder = exported[1]
    listed = dict(line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert set(listed) == {"README.md", "manifest.toml", "model.safetensors"}
    for name, digest in listed.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_the_exported_weights_are_the_averaged_ones(exported: tuple[Path, Path]) -> None:
    checkpoint, folder = exported
    one, other = load_pipeline(checkpoint), load_pipeline(folder / "model.safetensors")
    assert [text.text for text in one.generate([1, 2])] == [text.text for text in other.generate([1, 2])]
    for name, value in other.network.state_dict().items():
        assert value.equal(load_checkpoint(checkpoint).ema_state_dict["0.999"][name])


def test_bfloat16_weights_are_rounded_and_half_the_size(exported: tuple[Path, Path], tmp_path: Path) -> None:
    checkpoint, whole = exported
    export_model(open_model(checkpoint), tmp_path, bf16=True)
    network = load_pipeline(tmp_path / "model.safetensors").network
    for name, value in load_checkpoint(checkpoint).ema_state_dict["0.999"].items():
        assert network.state_dict()[name].equal(value.bfloat16().float())
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (tmp_path, whole)]
    assert sizes[0] < 0.7 * sizes[1]  # the header, which is as long in both, weighs something in a tiny network


def test_weights_may_be_in_a_folder_below_their_manifest(exported: tuple[Path, Path], tmp_path: Path) -> None:
    checkpoint, folder = exported
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "tiny.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    manifest = (folder / "manifest.toml").read_text().replace("model.safetensors", "weights/tiny.safetensors")
    (tmp_path / "tiny.toml").write_text(manifest)
    (tmp_path / "other.toml").write_text("weights = 3\n")
    one, other = load_pipeline(checkpoint), load_pipeline(tmp_path / "weights/tiny.safetensors")
    assert [text.text for text in one.generate([1])] == [text.text for text in other.generate([1])]


def test_the_state_of_a_learned_schedule_is_exported(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.train("run", "train.max_steps=3", "schedule={use='adaptive',memory=5}")
    checkpoint = lab.home / "run" / "best_model.pth"
    export_model(open_model(checkpoint), lab.home / "shared", bf16=True)
    weights = lab.home / "shared" / "model.safetensors"
    one, other = (load_pipeline(path).denoiser.schedule for path in (checkpoint, weights))
    assert one.grid(16).equal(other.grid(16))
    assert not one.grid(16).equal(grid_at_start(one))
    assert load_weights(weights)[0].keys() == load_checkpoint(checkpoint).model_state_dict.keys()


def grid_at_start(schedule: NoiseSchedule) -> torch.Tensor:
    """Return the grid of a learned schedule before it learned."""
    assert isinstance(schedule, LearnedSchedule)
    return schedule.at_start().grid(16)


def test_an_exported_model_is_evaluated_on_given_text(exported: tuple[Path, Path], tmp_path: Path) -> None:
    checkpoint, folder = exported
    with pytest.raises(InputError, match=r"no held-out.*--data"):
        evaluate_checkpoint(open_model(folder / "model.safetensors", create_plugin_manager()))
    (tmp_path / "text.txt").write_text("It was a bright cold day in April. " * 200)
    reports = [
        evaluate_checkpoint(
            open_model(path, create_plugin_manager()),
            data=tmp_path / "text.txt",
            metrics=["validation"],
            scope=Scope(limit=2),
        )
        for path in (checkpoint, folder / "model.safetensors")
    ]
    assert reports[0]["validation"] == reports[1]["validation"]
    assert reports[0]["step"] == reports[1]["step"] == 3


def test_the_model_card_has_the_facts_of_the_run(exported: tuple[Path, Path]) -> None:
    checkpoint, folder = exported
    card = (folder / "README.md").read_text()
    assert f"{load_checkpoint(checkpoint).loss:.6f}" in card
    assert "3 of 6 images" in card
    assert torch.__version__ in card


def test_weights_without_their_manifest_or_hash_are_refused(exported: tuple[Path, Path], tmp_path: Path) -> None:
    weights, manifest = tmp_path / "model.safetensors", tmp_path / "manifest.toml"
    weights.write_bytes((exported[1] / "model.safetensors").read_bytes())
    with pytest.raises(InputError, match="weights without a manifest"):
        load_pipeline(weights)
    manifest.write_bytes((exported[1] / "manifest.toml").read_bytes())
    load_pipeline(weights)
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(RefusedError, match="sha256"):
        load_pipeline(weights)


def foreign_checkpoint(whole: Path, path: Path, name: str) -> Path:
    """Write a copy of a checkpoint that embeds a tokenizer's file under `name`."""
    document = torch.load(whole, weights_only=True)
    table = f"use = 'tiktoken'\nfile = {json.dumps(name)}\npattern = '\\s+|\\S'"
    manifest = document["manifest"].replace('use = "bytes"', table)
    ranks = "".join(f"{base64.b64encode(bytes([n])).decode()} {n}\n" for n in range(256)).encode()
    embedded = {name: torch.frombuffer(bytearray(ranks), dtype=torch.uint8)}
    torch.save({**document, "manifest": manifest, "tokenizer": embedded}, path)
    return path


def test_files_of_the_tokenizer_are_exported(exported: tuple[Path, Path], tmp_path: Path) -> None:
    export_model(
        open_model(foreign_checkpoint(exported[0], tmp_path / "foreign.pth", "a/b.tiktoken")), tmp_path / "out"
    )
    assert (tmp_path / "out" / "a" / "b.tiktoken").stat().st_size > 1000
    assert load_pipeline(tmp_path / "out").tokenizer.vocab_size == 258


@pytest.mark.parametrize(
    "name", ["HOME/.bashrc", "../.bashrc", "README.md", "Model.safetensors", "SHA256SUMS", "manifest.toml/x", "a\n0"]
)
def test_a_file_in_a_checkpoint_cannot_be_written_elsewhere_or_over_another(
    exported: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    path = foreign_checkpoint(exported[0], tmp_path / "foreign.pth", name.replace("HOME", str(tmp_path)))
    with pytest.raises(RefusedError, match=r"foreign\.pth: tokenizer: found (path|the name) '"):
        export_model(open_model(path), tmp_path / "a" / "shared")
    assert [path.name for path in tmp_path.rglob("*")] == ["foreign.pth"]


def test_a_link_in_the_folder_cannot_lead_a_file_out_of_it(exported: tuple[Path, Path], tmp_path: Path) -> None:
    path = foreign_checkpoint(exported[0], tmp_path / "foreign.pth", "a/b.tiktoken")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to(tmp_path)
    with pytest.raises(RefusedError, match=r"found path 'a/b.tiktoken'"):
        export_model(open_model(path), tmp_path / "out")
    assert not (tmp_path / "b.tiktoken").exists()

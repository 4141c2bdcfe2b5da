from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from jitkit.checkpoints.export import CardOptions, export_model
from jitkit.checkpoints.format import load_checkpoint
from jitkit.checkpoints.open import load_pipeline, open_model
from jitkit.checkpoints.weights import load_weights
from jitkit.discovery import create_plugin_manager
from jitkit.errors import InputError, RefusedError, ResourceError, UsageError, visible
from jitkit.evaluation.held_out import READ_AGAIN
from jitkit.evaluation.runner import Scope, evaluate_checkpoint
from jitkit.manifest.reader import read_manifest
from jitkit.pipeline import Pipeline
from jitkit.protocols import LearnedSchedule, NoiseSchedule
from jitkit.recipe import open_recipe
from jitkit.zoo.check import check_recipe
from tests.extras import need
from tests.training_lab import Lab, uninterrupted


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A best model, and the folder it was exported to."""
    home = tmp_path_factory.mktemp("lab")
    checkpoint = uninterrupted(home, "train.max_steps=3") / "best_model.pth"
    export_model(open_model(checkpoint), home / "shared")
    return checkpoint, home / "shared"


def test_every_file_has_its_hash(exported: tuple[Path, Path]) -> None:
    folder = exported[1]
    listed = dict(line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert set(listed) == {"README.md", "film-strip.png", "manifest.toml", "model.safetensors"}
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


GRAMMAR = ("data={use='grammar', stories=200, validation_fraction=0.1}", "train.pack=false", "backbone.image_size=18")


@pytest.fixture(scope="module")
def of_stories(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A best model that was trained on a source without files, and the folder it was exported to."""
    home = tmp_path_factory.mktemp("lab")
    checkpoint = uninterrupted(home, "train.max_steps=3", *GRAMMAR, data=None) / "best_model.pth"
    export_model(open_model(checkpoint), home / "shared")
    return checkpoint, home / "shared"


def test_an_exported_model_is_evaluated_on_its_source_if_this_needs_no_file(of_stories: tuple[Path, Path]) -> None:
    """As the checkpoint is: on the same windows, with the same training documents."""
    metrics = ["validation", "grammar", "generation"]
    own, shared = (evaluate_checkpoint(open_model(path), metrics=metrics, scope=Scope(limit=4)) for path in of_stories)
    for name in (*metrics, "held_out", "num_held_out"):
        assert own[name] == shared[name]
    assert shared["held_out"].startswith("grammar (")
    assert [note for note in shared["notes"] if note not in own["notes"]] == [READ_AGAIN]


@pytest.mark.parametrize(
    ("old", "new", "times", "found"),
    [
        ('trained_on = "grammar (', 'trained_on = "seven novels (', 1, "no held-out window"),
        ("stories = 200", "stories = 300", 1, "no held-out window"),
        ("stories = 200", "stories = 2", 2, r"training text that cannot be read here \(data.validation_fraction"),
    ],
    ids=["other text", "other options", "no story"],
)
def test_a_source_that_is_not_that_of_the_training_text_is_not_read(
    of_stories: tuple[Path, Path], tmp_path: Path, old: str, new: str, times: int, found: str
) -> None:
    """A manifest of the zoo is also a recipe: its weights may have been trained on other text."""
    shutil.copytree(of_stories[1], tmp_path / "model")
    manifest = tmp_path / "model" / "manifest.toml"
    text = manifest.read_text()
    assert text.count(old) >= times
    manifest.write_text(text.replace(old, new, times))  # in [data], and then in [weights]
    with pytest.raises(InputError, match=rf"{found}.*--data PATH"):
        evaluate_checkpoint(open_model(tmp_path / "model"), metrics=["validation"])


def test_the_model_card_has_the_facts_of_the_run(exported: tuple[Path, Path]) -> None:
    checkpoint, folder = exported
    card = (folder / "README.md").read_text()
    assert f"{load_checkpoint(checkpoint).loss:.6f}" in card
    assert "3 of 6 images" in card
    assert card.index("jitkit.load(") < card.index("load_pretrained_jit")
    assert torch.__version__ in card


def front_matter(card: str) -> dict[str, object]:
    """Return the metadata of a model card, as the Hub reads it."""
    need("yaml")
    import yaml

    _, metadata, _ = card.split("---\n", 2)
    document = yaml.safe_load(metadata)
    assert isinstance(document, dict)
    return document


def test_the_model_card_has_front_matter(exported: tuple[Path, Path], tmp_path: Path) -> None:
    export_model(open_model(exported[0]), tmp_path / "out", card=CardOptions(1, "cc-by-4.0", ("en", "de")))
    metadata = front_matter((tmp_path / "out" / "README.md").read_text())
    assert metadata["license"] == "cc-by-4.0"
    assert metadata["language"] == ["en", "de"]
    assert metadata["library_name"] == "jitkit"
    assert metadata["metrics"] == ["validation.loss"]
    [result] = metadata["model-index"][0]["results"]  # type: ignore[index]
    assert result["metrics"] == [{"type": "validation.loss", "value": load_checkpoint(exported[0]).loss}]
    assert result["dataset"]["name"].startswith("text (path = ")
    plain = front_matter((exported[1] / "README.md").read_text())
    assert not {"license", "language", "datasets"} & plain.keys()  # nobody stated them
    export_model(open_model(tmp_path / "out"), tmp_path / "again")
    weights = read_manifest(tmp_path / "again" / "manifest.toml").weights
    assert (weights.license, weights.language) == ("cc-by-4.0", ("en", "de"))


@pytest.mark.parametrize("options", [{"license": "my own"}, {"license": ""}, {"languages": ("English",)}])
def test_a_license_and_a_language_are_ids(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"--(license|language): found '.*'; expected "):
        CardOptions(**options)


@pytest.mark.parametrize("bf16", [False, True])
def test_the_model_card_shows_the_samples_of_the_exported_weights(
    exported: tuple[Path, Path], tmp_path: Path, bf16: bool
) -> None:
    export_model(open_model(exported[0]), tmp_path, bf16=bf16, card=CardOptions(2))
    card = (tmp_path / "README.md").read_text()
    for text in load_pipeline(tmp_path).generate(range(2)):
        assert f"Seed {text.seed}:\n\n" in card
        assert visible(text.text, keep="\n") in card
    assert "jitkit generate MODEL -n 2 --device cpu" in card
    assert "jitkit train manifest.toml --data TEXT" in card
    with Image.open(tmp_path / "film-strip.png") as strip:
        assert strip.size[0] > 300
    export_model(open_model(exported[0]), tmp_path, card=CardOptions(0))
    assert not (tmp_path / "film-strip.png").exists()
    assert "## Samples" not in (tmp_path / "README.md").read_text()


def test_a_sample_cannot_end_its_block(exported: tuple[Path, Path], tmp_path: Path, monkeypatch) -> None:
    hostile = "```\n# not a heading\n````\x1b[2J"
    monkeypatch.setattr(Pipeline, "text_of", lambda *_: hostile)
    export_model(open_model(exported[0]), tmp_path, card=CardOptions(1))
    card = (tmp_path / "README.md").read_text()
    assert f"`````text\n{hostile.replace(chr(27), chr(92) + 'x1b')}\n`````\n" in card


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


# ------------------------------------------------------------------------------------------------ the folder as a whole


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def is_whole(folder: Path) -> bool:
    """Return whether a folder has exactly the files of its SHA256SUMS."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents(folder).items()}
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    return digests.pop("SHA256SUMS") is not None and digests == dict(line.split("  ")[::-1] for line in lines)


def test_an_export_replaces_an_earlier_one_and_nothing_else(exported: tuple[Path, Path], tmp_path: Path) -> None:
    model, folder = open_model(exported[0]), tmp_path / "out"
    export_model(open_model(foreign_checkpoint(exported[0], tmp_path / "foreign.pth", "a/b.tiktoken")), folder)
    (folder / "notes.txt").write_text("mine")
    export_model(model, folder)
    assert contents(folder) == {**contents(exported[1]), "notes.txt": b"mine"}
    (folder / "README.md").write_text("my own words")
    before = contents(folder)
    with pytest.raises(UsageError, match=r"out: found a file 'README.md'"):
        export_model(model, folder, bf16=True)
    assert contents(folder) == before


def test_a_place_that_cannot_be_written_is_found_before_the_samples_are_drawn(
    exported: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "out").touch()
    done = list[str]()
    with pytest.raises(ResourceError, match="out: found a file; expected a folder"):
        export_model(open_model(exported[0]), tmp_path / "out", progress=lambda name, *_: done.append(name))
    assert not done


@pytest.mark.parametrize("sums", [None, "", "0" * 64 + "  README.md\n", "no digest"])
def test_a_project_is_not_overwritten(exported: tuple[Path, Path], tmp_path: Path, sums: str | None) -> None:
    (tmp_path / "README.md").write_text("my project")
    if sums is not None:
        (tmp_path / "SHA256SUMS").write_text(sums)
    before = contents(tmp_path)
    with pytest.raises(UsageError, match="found a file"):
        export_model(open_model(exported[0]), tmp_path)
    assert contents(tmp_path) == before


def test_hashes_of_an_earlier_export_cannot_name_files_elsewhere(exported: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    shutil.copytree(exported[1], tmp_path / "out")
    with (tmp_path / "out" / "SHA256SUMS").open("a") as sums:
        sums.write(f"{hashlib.sha256(b'mine').hexdigest()}  ../mine\n")
    with pytest.raises(RefusedError, match=r"found path '\.\./mine'"):
        export_model(open_model(exported[0]), tmp_path / "out")
    assert (tmp_path / "mine").exists()


EXPORT = (
    "import sys; from pathlib import Path; from jitkit.checkpoints.export import export_model; "
    "from jitkit.checkpoints.open import open_model; export_model(open_model(sys.argv[1]), Path(sys.argv[2]), bf16=True)"
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    ["model.safetensors:write", "manifest.toml:before-replace", "manifest.toml:after-replace:2", "*:after-replace:9"],
)
def test_a_killed_export_leaves_the_earlier_one_or_none(
    exported: tuple[Path, Path], tmp_path: Path, fault: str
) -> None:
    folder = tmp_path / "out"
    shutil.copytree(exported[1], folder)
    command = [sys.executable, "-c", EXPORT, exported[0], folder]
    done = subprocess.run(command, env={**os.environ, "JITKIT_FAULT": fault}, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    if (folder / "manifest.toml").exists():
        open_model(folder).pipeline()
    else:
        with pytest.raises(InputError, match="a folder without a model"):
            open_model(folder)
    export_model(open_model(exported[0]), folder, bf16=True)
    assert is_whole(folder)
    assert [path for path in tmp_path.rglob("*") if "jitkit-tmp" in path.name] == []


def test_a_folder_is_written_whole(exported: tuple[Path, Path]) -> None:
    assert is_whole(exported[1])


@pytest.mark.parametrize("override", ["backbone.embed_dim=64", "backbone.depth=2"])
def test_every_manifest_that_is_written_states_the_right_number_of_parameters(tmp_path: Path, override: str) -> None:
    lab = Lab(tmp_path)
    lab.train("run", "train.max_steps=1", "num_parameters=5", override)
    export_model(open_model(lab.home / "run"), lab.home / "shared")
    for manifest in (lab.home / "run" / "manifest.toml", lab.home / "shared" / "manifest.toml"):
        check_recipe(open_recipe(manifest, manager=create_plugin_manager()))
        assert read_manifest(manifest).num_parameters not in (None, 5)
    document = torch.load(lab.home / "run" / "best_model.pth", weights_only=True)
    older = re.sub(r"(?m)^num_parameters = .*$", "num_parameters = 5", document["manifest"])
    torch.save({**document, "manifest": older}, tmp_path / "older.pth")
    export_model(open_model(tmp_path / "older.pth"), tmp_path / "older")
    check_recipe(open_recipe(tmp_path / "older" / "manifest.toml", manager=create_plugin_manager()))


def test_the_model_card_shows_html_and_escapes(exported: tuple[Path, Path], tmp_path: Path) -> None:
    document = torch.load(exported[0], weights_only=True)
    hostile = "\x1b]0;x\x07<script src=//x></script> ![p](http://x) | a_b\n# x"
    document["data"] = {**document["data"], "origin": hostile}
    document["manifest"] = re.sub(
        r"(?m)^summary = .*$", lambda _: f"summary = {json.dumps(hostile)}", document["manifest"]
    )
    document["manifest"] = document["manifest"].replace(
        "[weights.metrics]\n", f"[weights.metrics]\n{json.dumps(hostile)} = 1.0\n"
    )
    torch.save(document, tmp_path / "<b>.pth")
    export_model(open_model(tmp_path / "<b>.pth"), tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert not any(part in card for part in ("\x1b", "\x07", "<script", "<b>", "![p]", "\n# x", " | a_b"))
    assert card.count("&lt;script") == 4  # the summary, twice the text, and the metric
    assert "<script src=//x></script> ![p](http://x) | a_b" in str(front_matter(card)["model-index"])
    assert read_manifest(tmp_path / "out" / "manifest.toml").weights.trained_on == hostile

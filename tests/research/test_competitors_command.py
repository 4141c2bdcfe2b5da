"""The comparison command: four models trained for a few steps, one table, nothing computed twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

from jitkit.discovery import create_plugin_manager
from jitkit.errors import UsageError
from research.competitors.__main__ import main
from research.competitors.all_competitors import all_competitors
from research.competitors.shared_recipe import SharedRecipe
from research.competitors.tables import mean_over_seeds
from research.competitors.trial import hide
from tests.tiny import tiny_toml

RECIPE = tiny_toml(
    "codec={use='bits', layout='patch-major'}",
    "backbone={use='jit', image_size=8, patch_size=2, embed_dim=16, depth=1, num_heads=2, rope='text'}",
    "objective={use='codeword', context='codeword', known=0.5}",
    "sampler.use='sde'",
    "data={use='text', path='novel.txt'}",
    "train={max_steps=2, batch_size=4, validation_windows=2}",
)


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "novel.txt").write_text("It was the best of times, it was the worst of times.\n" * 60, encoding="utf-8")
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def small(recipe: Path, *more: str) -> list[str]:
    return [str(recipe), "--out", str(recipe.parent / "out"), "--seeds", "0", "1", "--texts", "3", "--evaluations", "3",
            "--temperatures", "1", "0.5", "--gammas", "1", "--evidence", "0.5", "--samplers", "dpm",
            "--infill-gammas", "4", "60", "--infill-temperatures", "0.5", "--entropies", "3", *more]  # fmt: skip


def test_the_command_prints_one_table_and_computes_nothing_twice(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(small(recipe, "--only", "masked", "autoregressive"))
    assert "| jitkit |" not in capsys.readouterr().out
    weights = {path: path.stat().st_mtime_ns for path in recipe.parent.glob("out/*/*/model.safetensors")}
    assert len(weights) == 4
    main(small(recipe, "--json"))
    table = json.loads(capsys.readouterr().out)
    records = {path: path.stat().st_mtime_ns for path in recipe.parent.glob("out/*/*/results.json")}
    assert len(records) == 8
    by_model = {name: [row for row in table["rows"] if row["model"] == name] for name in
                ("real text", "jitkit", "original", "masked", "autoregressive")}  # fmt: skip
    settings = {
        name: [row["sampling"] for row in rows if "at entropy" not in row["sampling"]]
        for name, rows in by_model.items()
    }
    assert settings["masked"] == [f"{order}, temperature {t}" for order in ("random", "confidence") for t in (1.0, 0.5)]
    assert settings["autoregressive"] == ["temperature 1.0", "temperature 0.5"]
    assert settings["jitkit"] == [
        f"{way}, evidence 0.5, temperature {t}" for way in ("gamma 1.0", "dpm") for t in (1.0, 0.5)
    ]
    assert settings["original"] == ["gamma 1.0", "dpm"]
    for name, evaluations in (("jitkit", 3), ("original", 3), ("masked", 3), ("autoregressive", 16)):
        first = by_model[name][0]
        assert first["evaluations"] == evaluations
        assert first["seeds"] == 2
        assert first["seconds_a_step"] > 0 < first["seconds_a_text"]
        assert first["entropy_low"] <= first["entropy"] <= first["entropy_high"]
    assert by_model["masked"][0]["parameters"] == by_model["autoregressive"][0]["parameters"]
    fillings = [("jitkit", f"gamma {gamma}, temperature 0.5") for gamma in (4.0, 60.0)] + [("masked", "surest first")]
    assert {(row["model"], row["evaluations"], row["sampling"]) for row in table["infilling"]} == {
        (name, evaluations, label) for name, label in fillings for evaluations in (1, 3)
    }
    main(small(recipe))
    lines = capsys.readouterr().out.splitlines()
    assert len({line.count("|") for line in lines if line.startswith("| ")}) == 2  # two whole tables
    assert {path: path.stat().st_mtime_ns for path in (*weights, *records)} == {**weights, **records}


def test_infilling_keeps_visible_tokens_and_ignores_hidden_ones(recipe: Path) -> None:
    names = ["jitkit", "masked"]
    main(small(recipe, "--only", *names, "--seeds", "0"))
    shared = SharedRecipe(str(recipe), None, (), create_plugin_manager(), torch.device("cpu"), Console(quiet=True))
    tokens = shared.held_out(3)
    hidden = hide(tokens, 0.5)
    others = torch.where(hidden, (tokens + 1) % 256, tokens)
    for name in names:
        model = all_competitors(shared)[name].load(recipe.parent / "out" / name / "seed-0", 0)
        filled = model.infill(tokens, hidden, 3, {})
        assert filled is not None
        assert torch.equal(filled[~hidden], tokens[~hidden])
        assert torch.equal(model.infill(others, hidden, 3, {}), filled)


def test_a_folder_with_results_of_another_recipe_or_text_is_refused(recipe: Path) -> None:
    one = small(recipe, "--only", "autoregressive", "--seeds", "0")
    main(one)
    with pytest.raises(UsageError, match="another manifest"):
        main([*one, "--set", "train.lr=1e-3"])
    (recipe.parent / "novel.txt").write_text("Call me Ishmael. " * 200, encoding="utf-8")
    with pytest.raises(UsageError, match="another text"):
        main(one)


def test_unknown_names_and_unsupported_windows_are_refused(recipe: Path) -> None:
    with pytest.raises(UsageError, match="one of jitkit, original, masked, autoregressive"):
        main(small(recipe, "--only", "mdlm"))
    with pytest.raises(UsageError, match="windows of 9 tokens"):
        main(small(recipe, "--set", "backbone.image_size=6"))


def test_every_window_hides_the_same_number_of_random_places() -> None:
    tokens = torch.zeros(50, 64, dtype=torch.int64)
    for share, number in ((0.15, 10), (0.5, 32)):
        hidden = hide(tokens, share)
        assert (hidden.sum(1) == number).all()
        assert torch.equal(hidden, hide(tokens, share))
        assert hidden.any(0).all()  # anywhere


def test_a_mean_over_seeds_has_its_extremes() -> None:
    assert mean_over_seeds([{"a": 1.0}, {"a": 4.0}]) == {"a": 2.5, "a_low": 1.0, "a_high": 4.0, "seeds": 2}
    assert mean_over_seeds([{"a": 1.0}]) == {"a": 1.0, "seeds": 1}
    assert mean_over_seeds([]) == {}

"""Parsing and checking a grid file before anything trains."""

from __future__ import annotations

import json

import pytest

from jitkit.ablation.grid import Grid, grid_points, product, read_grid
from jitkit.ablation.planning import file_name
from jitkit.errors import JitkitError, ManifestError
from tests.core.ablation.conftest import GRID


def grid(**values: object) -> Grid:
    basis = {"schema_version": 1, "summary": "?", "manifest": "jit-nano", "seeds": [1]}
    return Grid.model_validate_json(json.dumps({**basis, **values}))


def test_cells_are_the_product_of_the_axes_and_the_listed_cells() -> None:
    found = grid_points(
        grid(
            axes={"train.lr": [1e-3, 1e-2], "kind": {"flow": [], "code": ["objective.use=codeword", "train.lr=1"]}},
            cells={"original": ["codec.use=base256"]},
        )
    )
    assert [point.name for point in found] == [
        "train.lr=0.001, flow",
        "train.lr=0.001, code",
        "train.lr=0.01, flow",
        "train.lr=0.01, code",
        "original",
    ]
    assert found[3].overrides == ("train.lr=0.01", "objective.use=codeword", "train.lr=1")
    assert found[4].overrides == ("codec.use=base256",)


def test_without_axes_the_cells_are_the_listed_ones_or_the_manifest() -> None:
    assert [point.name for point in grid_points(grid(cells={"a": [], "b": []}))] == ["a", "b"]
    assert [point.name for point in grid_points(grid())] == ["base"]


def test_override_texts_parse_to_the_same_values() -> None:
    from jitkit.manifest.reader import override

    values = [1, 2.5, 1e-12, True, "0.5", 'say "x=1"', [0.9, 0.99], "a, b", "\n"]
    for value, point in zip(values, product(grid(axes={"a.b": values}).axes), strict=True):
        document: dict[str, object] = {}
        override(document, point.overrides[0])
        assert document == {"a": {"b": value}}
        assert type(document["a"]["b"]) is type(value)  # type: ignore[index]


def test_folder_names_of_cells_are_valid_and_distinct() -> None:
    names = ["train.lr=0.001, flow", "../x", "a/b", "..", "x" * 300, "x" * 299 + "y", "Gedächtnis ∞", "a\0b", ""]
    folders = [file_name(name) for name in names]
    assert folders[0] == "train.lr=0.001+flow"
    assert len(set(folders[:7])) == 7
    for folder in folders:
        assert folder
        assert not folder.startswith(".")
        assert not set(folder) & set('/\\\0:*?"<>| ')
        assert len(folder.encode()) <= 100


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"train.lr" =', '"train.lrr" =', ["grid.toml:9:", "train.lrr", "Did you mean lr?"]),
        ('"train.lr" =', '"trian.lr" =', ["grid.toml:9:", "trian", "Did you mean train?"]),
        ("train.epochs=1", "train.epochs=0", ["grid.toml:6:", "train.epochs: found 0", "equal to 1"]),
        (
            "train.epochs=1",
            "train.minutes=1",
            ["grid.toml:6:", "train.minutes: found a time budget; expected epochs or"],
        ),
        ("train.epochs=1", "codec.use=bit", ["grid.toml:6:", "codec.use", "Did you mean bits?"]),
        ("train.epochs=1", "codec.layout=odd", ["grid.toml:6:", "codec.layout: found 'odd'"]),
        ("train.epochs=1", "epochs", ["grid.toml:6: set[1]: found 'epochs'"]),
        ("[1e-3, 1e-2]", "[]", ["grid.toml:9: axes.train.lr"]),
        ("[1e-3, 1e-2]", "[1e-3, 1e-3]", ["cells 'train.lr=0.001' and 'train.lr=0.001'"]),
        ("seeds = [1, 2]", "seeds = [1, 1]", ["grid.toml:5: seeds: found a repeated seed"]),
        ("seeds = [1, 2]", "seeds = []", ["grid.toml:5: seeds", "at least 1 item"]),
        ('"train.lr" = [1e-3, 1e-2]', '"train.seed" = [1, 2]', ["grid.toml:9:", "a seed in a cell"]),
        ('["validation"]', '["validaton"]', ["eval loss: eval.metrics", "Did you mean validation?"]),
        ("metrics =", "metircs =", ["grid.toml:12: eval.loss.metircs", "Did you mean metrics?"]),
        ('["validation"]', '["validation"]\nset = ["train.lr=1"]', ["loss: found 'train.lr'", "sampler.gamma"]),
        ('["validation"]', '["validation"]\nset = ["sampler.stesp=1"]', ["grid.toml:13:", "Did you mean steps?"]),
        ('["validation"]', '["validation"]\nset = ["objective.known=0.0"]', ["settings that change the network"]),
        ('"tiny.toml"', '"jit-nono"', ["jit-nono: found no such file and no zoo id", "Did you mean jit-nano?"]),
        ("data.path=text.txt", "data.path=no.txt", ["no.txt", "no such file"]),
    ],
)
def test_problems_are_reported_before_anything_trains(bench, old: str, new: str, words: list[str]) -> None:
    assert old in GRID
    with pytest.raises(JitkitError) as caught:
        bench.plan(GRID.replace(old, new))
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert not bench.out.exists()


def test_each_problem_is_reported_once(bench) -> None:
    cells = '[cells]\na = ["train.lrr=1"]\nb = ["train.lrr=1"]\nc = ["codec.use=bit"]\n'
    with pytest.raises(ManifestError) as caught:
        bench.plan(GRID + cells)
    assert [problem.field for problem in caught.value.problems] == ["cell a: train.lrr", "cell c: codec.use"]


def test_a_problem_of_the_manifest_is_located_there(bench) -> None:
    (bench.home / "tiny.toml").write_text((bench.home / "tiny.toml").read_text().replace("lr = 0.01", "rate = 0.01"))
    with pytest.raises(ManifestError, match=r"tiny\.toml:\d+: cell train.lr=0.001: train.rate: found an unknown key"):
        bench.plan()


def test_runs_are_ordered_by_seed(bench) -> None:
    cells = bench.plan()
    assert [cell.name for cell in cells] == [
        "train.lr=0.001, seed 1",
        "train.lr=0.01, seed 1",
        "train.lr=0.001, seed 2",
        "train.lr=0.01, seed 2",
    ]
    assert [cell.components.manifest.train.seed for cell in cells] == [1, 1, 2, 2]
    assert len({cell.folder for cell in cells}) == 4
    assert cells[0].dry_run.plan.num_steps == cells[0].dry_run.estimate.num_steps > 0


def test_the_schema_has_all_keys_and_both_forms_of_an_axis(bench) -> None:
    schema = Grid.model_json_schema()
    assert set(schema["properties"]) == set(Grid.model_fields)
    assert schema["required"] == ["schema_version", "summary", "manifest", "seeds"]
    forms = schema["properties"]["axes"]["additionalProperties"]["oneOf"]
    assert {form["type"] for form in forms} == {"array", "object"}
    assert read_grid(bench.write()).seeds == (1, 2)


def test_a_missing_grid_is_an_error(tmp_path) -> None:
    with pytest.raises(ManifestError, match=r"nowhere\.toml: .* expected a readable grid \(\.toml\)"):
        read_grid(tmp_path / "nowhere.toml")

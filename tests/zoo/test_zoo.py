import json
import tomllib
from pathlib import Path

import pytest

from jitkit.checkpoints.open import find_model
from jitkit.discovery import Registry, create_plugin_manager
from jitkit.errors import JitkitError, ManifestError
from jitkit.hookspecs import hookimpl
from jitkit.manifest.reader import read_manifest
from jitkit.recipe import open_recipe
from jitkit.zoo.check import check_recipe
from jitkit.zoo.index import builtin_folder, find_manifest, zoo_index
from jitkit.zoo.schema import manifest_schema

MANAGER = create_plugin_manager()
PATHS = sorted(builtin_folder().glob("*.toml"))


def test_the_documented_models_exist() -> None:
    index = zoo_index(MANAGER)
    assert {"jit-b4", "jit-l4", "jit-h4", "jit-nano", "jit-b4-base256"} <= set(index)
    assert list(index) == sorted(index), "jit-nano comes before jit-nano-8"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_zoo_manifest_builds_and_has_the_stated_parameters(path: Path) -> None:
    manifest = read_manifest(path)
    assert manifest.id == path.stem
    assert manifest.num_parameters == check_recipe(open_recipe(path, manager=MANAGER))["parameters"]


def test_a_wrong_parameter_count_is_refused(tmp_path: Path) -> None:
    text = (builtin_folder() / "jit-nano.toml").read_text()
    count = str(read_manifest(builtin_folder() / "jit-nano.toml").num_parameters)
    (tmp_path / "mine.toml").write_text(text.replace(f"num_parameters = {int(count):_}", "num_parameters = 12345"))
    with pytest.raises(ManifestError, match="num_parameters: found 12345; expected"):
        check_recipe(open_recipe(tmp_path / "mine.toml", manager=MANAGER))


def test_the_original_recipe_is_unchanged() -> None:
    manifest = read_manifest(builtin_folder() / "jit-b4-base256.toml")
    train = manifest.train
    assert (manifest.codec.use, manifest.codec.options["layout"]) == ("base256", "raster")
    assert (train.lr, train.epochs, train.warmup_epochs) == (5e-6, 100, 5.0)


def test_ids_and_paths_are_found_and_the_closest_id_is_suggested() -> None:
    path = builtin_folder() / "jit-b4.toml"
    assert find_manifest("jit-b4", MANAGER) == path
    assert find_manifest(str(path), MANAGER) == path
    assert find_manifest("zoo/jit-b4.toml", MANAGER).resolve() == path.resolve()
    with pytest.raises(ManifestError, match=r"Did you mean jit-nano\?"):
        find_manifest("jit-nanno", MANAGER)


def test_plugins_add_manifests_and_ids_are_unique(tmp_path: Path) -> None:
    class Plugin:
        @hookimpl
        def jitkit_zoo(self):
            return [tmp_path]

    text = (builtin_folder() / "jit-nano.toml").read_text()
    (tmp_path / "mine.toml").write_text(text.replace('"jit-nano"', '"mine"', 1))
    manager = create_plugin_manager([Plugin()])
    assert zoo_index(manager)["mine"] == tmp_path / "mine.toml"
    (tmp_path / "again.toml").write_text(text)
    with pytest.raises(ManifestError, match="expected a unique id"):
        zoo_index(manager)
    with pytest.raises(ManifestError, match="expected a unique id"):
        find_manifest("jit-nano", manager)
    assert find_manifest("mine", manager) == tmp_path / "mine.toml"


@pytest.mark.parametrize("content", [b"id = ", b"\xff", b"#" * (2 << 20), None])
def test_a_broken_manifest_of_a_plugin_hides_no_other(tmp_path: Path, content: bytes | None) -> None:
    class Plugin:
        @hookimpl
        def jitkit_zoo(self):
            return [tmp_path]

    broken = tmp_path / "broken.toml"
    if content is None:
        broken.symlink_to("nowhere")
    else:
        broken.write_bytes(content)
    manager = create_plugin_manager([Plugin()])
    assert find_manifest("jit-nano", manager) == builtin_folder() / "jit-nano.toml"
    assert find_model("jit-nano", manager).is_file()
    for action in (lambda: zoo_index(manager), lambda: find_manifest("broken", manager)):
        with pytest.raises(JitkitError, match=r"broken\.toml"):
            action()


def test_the_schema_contains_every_table_and_component() -> None:
    schema = manifest_schema(Registry(MANAGER))
    json.dumps(schema, allow_nan=False)
    codecs = {option["properties"]["use"]["const"] for option in schema["properties"]["codec"]["oneOf"]}
    assert {"base256", "digits", "bits", "code", "palette"} <= codecs
    for path in PATHS:
        assert set(tomllib.loads(path.read_text())) <= set(schema["properties"])

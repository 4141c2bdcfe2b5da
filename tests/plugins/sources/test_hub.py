"""Datasets of the Hub, without a connection: saved ones, and those in the cache of `datasets`."""

import sys
from pathlib import Path

import pytest

from jitkit.errors import InputError, ResourceError
from jitkit.files import Files
from jitkit_plugins.sources.hub import HubSource

datasets = pytest.importorskip("datasets", reason="package of the extra `hub`")

TEXTS = [f"Document {number}." for number in range(1000)]


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    import huggingface_hub.constants

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.chdir(tmp_path)


def save(folder: Path, **columns) -> None:
    data = datasets.Dataset.from_dict(columns or {"text": TEXTS, "id": list(range(len(TEXTS)))})
    datasets.DatasetDict({"train": data, "test": data.select(range(min(10, len(data))))}).save_to_disk(
        folder, num_shards={"train": 3, "test": 1}
    )


def cache(tmp_path: Path) -> None:
    """Put the dataset someone/stories into the cache, as an earlier download would."""
    (tmp_path / "stories").mkdir()
    datasets.Dataset.from_dict({"text": TEXTS}).to_json(tmp_path / "stories" / "train.jsonl")
    datasets.load_dataset(str(tmp_path / "stories"), cache_dir=str(tmp_path / "hf"))
    (tmp_path / "hf" / "stories").rename(tmp_path / "hf" / "someone___stories")


def read(**settings) -> list[str]:
    source = HubSource(**settings).build(Files(Path()))
    return [text for block in source.blocks for text in block.documents()]


def test_a_saved_dataset_is_read_in_order(tmp_path) -> None:
    save(tmp_path / "saved")
    assert read(path="saved") == TEXTS
    assert read(path="saved", split="test") == TEXTS[:10]
    source = HubSource(path="saved").build(Files(Path()))
    assert len(source.files) == 3
    assert sum(block.stop - block.start for block in source.blocks) == len(TEXTS)


def test_a_dataset_in_the_cache_is_read_without_a_connection(tmp_path) -> None:
    cache(tmp_path)
    assert read(dataset="someone/stories") == TEXTS


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"split": "trian"},
            r"saved: data\.split: found no split 'trian'; expected one of train, test\. Did you mean train\?",
        ),
        (
            {"column": "txt"},
            r"saved: data\.column: found no column 'txt'; expected one of text, id\. Did you mean text\?",
        ),
        ({"column": "id"}, r"data\.column: found column 'id' of type int64; expected a column of text"),
    ],
)
def test_an_unknown_split_or_column_is_named(tmp_path, settings, message) -> None:
    save(tmp_path / "saved")
    with pytest.raises(InputError, match=message):
        read(path="saved", **settings)


def test_an_unknown_configuration_is_named(tmp_path) -> None:
    cache(tmp_path)
    with pytest.raises(
        InputError, match=r"someone/stories: data\.config: found no config 'defalt'; expected one of .*default"
    ):
        read(dataset="someone/stories", config="defalt")


def test_a_dataset_that_is_nowhere_says_what_is_missing(tmp_path) -> None:
    with pytest.raises(
        ResourceError, match=r"someone/novels: data: found no connection to the Hugging Face Hub, and no such"
    ):
        read(dataset="someone/novels")
    (tmp_path / "someone" / "novels").mkdir(parents=True)
    with pytest.raises(InputError, match=r"someone/novels: found a local file or folder of this name; expected the id"):
        read(dataset="someone/novels")


def test_a_folder_that_is_no_dataset_is_an_error(tmp_path) -> None:
    with pytest.raises(InputError, match=r"absent: data\.path: found no such folder; expected a dataset saved with"):
        read(path="absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: data\.path: found FileNotFoundError .*expected a dataset saved with"):
        read(path="empty")


def test_the_only_column_of_text_needs_no_name(tmp_path) -> None:
    save(tmp_path / "one", body=TEXTS, id=list(range(len(TEXTS))))
    assert read(path="one") == read(path="one", column="body") != []
    save(tmp_path / "two", body=TEXTS, title=TEXTS)
    with pytest.raises(InputError, match=r"two: data\.column: found columns body, title, and none is named"):
        read(path="two")


def test_null_and_damage_name_the_file(tmp_path) -> None:
    save(tmp_path / "saved", text=[None, "two", "three"])
    with pytest.raises(InputError, match=r"\.arrow: column text: found null in row 0; expected a string"):
        read(path="saved")
    assert read(path="saved", nulls="skip") == ["two", "three"]
    source = HubSource(path="saved", split="test").build(Files(Path()))
    [file] = source.files
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InputError, match=r"test/.*\.arrow: data: found "):
        list(source.documents("train"))


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b/c", ".hidden", "a/../b", "https://x"])
def test_only_ids_of_the_hub_are_names(name) -> None:
    with pytest.raises(ValueError, match="dataset"):
        HubSource(dataset=name)


def test_one_of_dataset_and_path_is_required() -> None:
    for settings in ({}, {"dataset": "a/b", "path": "c"}):
        with pytest.raises(ValueError, match="either dataset or path"):
            HubSource(**settings)


def test_without_datasets_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ResourceError, match=r"data\.use: found no package datasets.*pip install 'jitkit\[hub\]'"):
        read(dataset="a/b")

"""A checkpoint folder loads equal to what was saved, also in parts; an incomplete, damaged, or mixed one is named, never loaded."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from jitkit.checkpoints.format import Checkpoint, as_document, load_checkpoint, read_checkpoint, save_checkpoint
from jitkit.checkpoints.nested import flattened
from jitkit.checkpoints.save_shards import SHARDED, WHOLE, save_shards
from jitkit.checkpoints.shard_index import INDEX, REST, ShardIndex, is_complete, read_shard_index, write_shard_index
from jitkit.checkpoints.shards import Part, index_of, shard_name, write_shard
from jitkit.errors import InputError, JitkitError, RefusedError, ResourceError
from jitkit.storage import faults
from tests.core.checkpoints.test_format import equal, new_checkpoint

NAME = "checkpoint_step_00000007"


@pytest.fixture(autouse=True)
def _no_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(faults.VARIABLE, raising=False)
    faults._reached.clear()


def saved(folder: Path, checkpoint: Checkpoint) -> Path:
    """Save a checkpoint as a folder, and return it."""
    pending = save_shards(folder, checkpoint)
    pending.finish()
    return pending.folder


def in_parts(folder: Path, checkpoint: Checkpoint, starts: dict[str, list[int]], world_size: int = 3) -> Path:
    """Write a checkpoint as several processes would, which split tensors at the rows `starts`."""
    document = as_document(checkpoint)
    sharded = dict(flattened({key: document[key] for key in SHARDED if document[key] is not None}))
    rest = dict(flattened({key: document[key] for key in WHOLE}))
    shards: list[dict[str, Part]] = [{} for _ in range(world_size)]
    for name, tensor in sharded.items():
        if tensor is not None:
            begins = starts.get(name, [0])
            ends = [*begins[1:], len(tensor) if tensor.ndim else 0]
            for shard, begin, end in zip(shards, begins, ends, strict=False):
                if not tensor.ndim or end > begin:
                    shard[name] = (begin, tensor[begin:end] if tensor.ndim else tensor)
    folder.mkdir()
    files = {shard_name(rank): write_shard(folder / shard_name(rank), shard) for rank, shard in enumerate(shards)}
    whole = {name: (0, tensor) for name, tensor in rest.items() if tensor is not None}
    files[REST] = write_shard(folder / REST, whole)
    index = index_of(document, {**sharded, **rest}, world_size)
    write_shard_index(folder, index.model_copy(update={"files": files}))
    return folder


def assert_equal(one: Checkpoint, other: Checkpoint) -> None:
    for field in fields(Checkpoint):
        assert equal(getattr(one, field.name), getattr(other, field.name)), field.name


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "weights only": {"optimizer_state_dict": None, "rng": {}, "tokenizer": {}, "schedule_state_dict": {}},
    "before the first step": {"optimizer_state_dict": {"weight": {}, "bias": {}}, "step": 0, "loss": None},
    "no averages": {"ema_state_dict": {}, "optimizer_state_dict": {}},
    "other dtypes": {"model_state_dict": {str(t): torch.ones(3, dtype=t) for t in (torch.bfloat16, torch.bool)}},
    "odd names": {"model_state_dict": {"a/b": torch.ones(2), "a": torch.ones(1), "%2F ä\n": torch.ones(())}},
    "odd shapes": {"model_state_dict": {"none": torch.empty(0, 3), "turned": torch.arange(6).reshape(2, 3).T}},
    "exact numbers": {"loss": 0.1 + 0.2, "best_loss": 5e-324},
}


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_a_saved_folder_loads_equal(tmp_path: Path, values: dict[str, Any]) -> None:
    checkpoint = replace(new_checkpoint(), **values)
    assert_equal(load_checkpoint(saved(tmp_path / NAME, checkpoint)), checkpoint)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_parts_of_several_processes_are_put_together(tmp_path: Path) -> None:
    starts = {
        "model_state_dict/weight": [0, 2, 4],
        "model_state_dict/bias": [0, 5],
        "ema_state_dict/0.9/weight": [0, 0, 1],
        "optimizer_state_dict/weight/exp_avg": [0, 3, 5],
    }
    folder = in_parts(tmp_path / NAME, new_checkpoint(), starts)
    read, index = read_checkpoint(folder)
    assert_equal(read, new_checkpoint())
    assert index.path == folder / INDEX


@pytest.mark.parametrize(
    "starts", [{"model_state_dict/weight": [0, 2, 2]}, {"model_state_dict/weight": [1, 3, 4]}], ids=["two", "no first"]
)
def test_rows_that_are_missing_are_named(tmp_path: Path, starts: dict[str, list[int]]) -> None:
    folder = in_parts(tmp_path / NAME, new_checkpoint(), starts)
    index = read_shard_index(folder)
    name = shard_name(2)
    parts = dict(index.files[name].parts)
    if starts["model_state_dict/weight"][0] == 0:
        parts["model_state_dict/weight"] = 3  # the last rows, at another place
        files = {**index.files, name: index.files[name].model_copy(update={"parts": parts})}
        write_shard_index(folder, index.model_copy(update={"files": files}))
    with pytest.raises(InputError, match=r"index\.json: model_state_dict/weight: found parts that do not fit together"):
        load_checkpoint(folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    starts = {"model_state_dict/weight": [0, 2, 4], "optimizer_state_dict/weight/exp_avg": [0, 1, 2]}
    return in_parts(tmp_path_factory.mktemp("whole") / NAME, new_checkpoint(), starts)


@pytest.fixture
def folder(tmp_path: Path, whole: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / NAME))


FILES = [*map(shard_name, range(3)), REST]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (Path.unlink, "found no such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), r"found [\d,]+ bytes; expected the [\d,]+ that index"),
        (lambda path: path.write_bytes(b""), r"found 0 bytes"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\1"), "found content with SHA-256"),
    ],
    ids=["missing", "truncated", "empty", "flipped"],
)
def test_a_damaged_file_is_named(folder: Path, name: str, damage: Callable[[Path], object], found: str) -> None:
    damage(folder / name)
    with pytest.raises(InputError, match=rf"{NAME}/{name}: {found}") as caught:
        load_checkpoint(folder)
    assert caught.value.exit_code == 4
    assert is_complete(folder) == ("SHA" in found), "sizes agree, and content is checked on loading"


def test_every_flipped_bit_is_found(folder: Path, whole: Path) -> None:
    for path in sorted(folder.iterdir()):
        content = bytearray(path.read_bytes())
        for place in range(0, len(content), max(1, len(content) // 97)):
            flipped = bytearray(content)
            flipped[place] ^= 1 << place % 8
            path.write_bytes(flipped)
            with pytest.raises(JitkitError, match=NAME):
                load_checkpoint(folder)
        path.write_bytes(content)
    assert_equal(load_checkpoint(folder), load_checkpoint(whole))


def test_a_folder_without_an_index_is_not_a_checkpoint(folder: Path) -> None:
    (folder / INDEX).unlink()
    assert not is_complete(folder)
    with pytest.raises(InputError, match=rf"{NAME}: found no index\.json; expected .* save was completed"):
        load_checkpoint(folder)


@pytest.mark.parametrize("values", [{"step": 8}, {"model_state_dict": {"weight": torch.zeros(5, 3)}}], ids=str)
def test_a_file_of_another_step_or_model_is_named(tmp_path: Path, folder: Path, values: dict[str, Any]) -> None:
    changed = {"weight": torch.ones(5, 3), "bias": torch.ones(5)}
    other = replace(new_checkpoint(), model_state_dict=changed) if "step" in values else new_checkpoint()
    starts = {"model_state_dict/weight": [0, 2, 4], "optimizer_state_dict/weight/exp_avg": [0, 1, 2]}
    in_parts(tmp_path / "other", replace(other, **values), starts)
    shutil.copy(tmp_path / "other" / shard_name(1), folder)
    with pytest.raises(InputError, match=rf"{NAME}/{shard_name(1)}: found "):
        load_checkpoint(folder)


def rewritten(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the index of a folder as someone would who knows how it is made."""
    document = json.loads((folder / INDEX).read_text())
    change(document)
    write_shard_index(folder, ShardIndex.model_validate(document))


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], object], type[JitkitError]]] = {
    "outside": (lambda index: index["files"].update({"../x": index["files"].pop(REST)}), RefusedError),
    "absolute": (lambda index: index["files"].update({"/x": index["files"].pop(REST)}), RefusedError),
    "itself": (lambda index: index["files"].update({INDEX: index["files"].pop(REST)}), RefusedError),
    "a file less": (lambda index: index["files"].pop(shard_name(0)), InputError),
    "a tensor less": (lambda index: index["tensors"].pop("rng/cpu"), InputError),
    "a tensor more": (
        lambda index: index["tensors"].update(x={"dtype": "F32", "shape": [1]}),
        InputError,
    ),
    "an enormous tensor": (
        lambda index: index["tensors"]["model_state_dict/weight"].update(shape=[2**40, 3]),
        InputError,
    ),
    "another dtype": (lambda index: index["tensors"]["model_state_dict/weight"].update(dtype="F16"), InputError),
    "a part less": (lambda index: index["files"][shard_name(1)]["parts"].clear(), InputError),
    "a table in a tensor": (lambda index: index["empty"].append("model_state_dict/weight/x"), InputError),
    "an unknown table": (lambda index: index["empty"].append("model_state_dict"), InputError),
}


@pytest.mark.parametrize(("change", "error"), CHANGES.values(), ids=CHANGES)
def test_an_index_that_does_not_fit_its_files_is_refused(
    folder: Path, change: Callable[[dict[str, Any]], object], error: type[JitkitError]
) -> None:
    rewritten(folder, change)
    with pytest.raises(error, match=NAME):
        load_checkpoint(folder)


def test_a_link_to_a_file_outside_is_refused(tmp_path: Path, folder: Path) -> None:
    shutil.move(folder / REST, tmp_path / REST)
    (folder / REST).symlink_to(tmp_path / REST)
    with pytest.raises(RefusedError, match="relative path inside"):
        load_checkpoint(folder)


def test_a_folder_becomes_a_file_and_back_bit_for_bit(tmp_path: Path, folder: Path) -> None:
    save_checkpoint(tmp_path / "packed.pth", load_checkpoint(folder))
    unpacked = saved(tmp_path / "unpacked", load_checkpoint(tmp_path / "packed.pth"))
    assert_equal(load_checkpoint(unpacked), load_checkpoint(folder))


def test_weights_may_change_as_soon_as_the_save_has_begun(tmp_path: Path) -> None:
    """They are large, so the thread has not written them by then."""
    weights, average = torch.ones(4_000_000), torch.full((4_000_000,), 2.0)
    checkpoint = replace(new_checkpoint(), model_state_dict={"w": weights}, ema_state_dict={"0.9": {"w": average}})
    pending = save_shards(tmp_path / NAME, checkpoint)
    weights.zero_()
    average.zero_()
    checkpoint.validation_tokens.zero_()
    pending.finish()
    read = load_checkpoint(tmp_path / NAME)
    assert bool((read.model_state_dict["w"] == 1).all())
    assert bool((read.ema_state_dict["0.9"]["w"] == 2).all())
    assert equal(read.validation_tokens, new_checkpoint().validation_tokens)


STAGES = ("create", "write", "before-fsync", "after-fsync")
KILLS = [
    *(f"{name}:{stage}" for name in (shard_name(0), REST) for stage in STAGES),
    *(f"{INDEX}:{stage}" for stage in (*STAGES, "before-replace", "after-replace", "folder-fsync")),
    *(f"{NAME}:{stage}" for stage in ("before-replace", "after-replace", "folder-fsync")),
]


@pytest.mark.parametrize("fault", KILLS)
def test_a_kill_at_any_point_leaves_no_folder_or_a_complete_one(tmp_path: Path, fault: str) -> None:
    child = os.fork()
    if child == 0:
        os.environ[faults.VARIABLE] = fault
        try:
            saved(tmp_path / NAME, new_checkpoint())
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    if fault in {f"{NAME}:after-replace", f"{NAME}:folder-fsync"}:
        assert_equal(load_checkpoint(tmp_path / NAME), new_checkpoint())
    else:
        assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize("reason", ["ENOSPC", "EIO"])
@pytest.mark.parametrize(
    "point", [f"{shard_name(0)}:write", f"{REST}:before-fsync", f"{INDEX}:write", f"{NAME}:before-replace"]
)
def test_a_file_that_cannot_be_written_is_an_error_of_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str, reason: str
) -> None:
    monkeypatch.setenv(faults.VARIABLE, f"{point}:{reason}")
    pending = save_shards(tmp_path / NAME, new_checkpoint())
    with pytest.raises(ResourceError, match=point.partition(":")[0]) as caught:
        pending.finish()
    assert caught.value.exit_code == 6
    assert pending.is_done
    with pytest.raises(ResourceError):
        pending.check()
    assert not list(tmp_path.iterdir())


def test_an_error_is_found_without_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(faults.VARIABLE, f"{INDEX}:create:EROFS")
    pending = save_shards(tmp_path / NAME, new_checkpoint())
    errors = (raised(pending.check) for _ in range(10_000) if not time.sleep(0.001))
    assert "read-only file system" in next(filter(None, errors))
    assert not list(tmp_path.iterdir())


def raised(call: Callable[[], None]) -> str:
    """Return the message of the ResourceError that a call raises, or nothing."""
    try:
        call()
    except ResourceError as error:
        return str(error)
    return ""

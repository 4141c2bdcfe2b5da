"""Checkpoints: saving them as a `.pth` file, and loading them from a file or a folder.

A checkpoint is self-contained: weights, averages, optimizer, position in the run, manifest, tokenizer and held-out
windows. It holds tensors and plain values only. Reading it never runs code, see `read_pickle`. Several processes write it
as a folder, see `jitkit.checkpoints.shards`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jitkit import __version__
from jitkit.checkpoints.shard_index import is_checkpoint_folder
from jitkit.checkpoints.shards import read_folder
from jitkit.discovery.loader import PluginManager
from jitkit.errors import InputError, JitkitError, ResourceError, shown
from jitkit.files import require_members
from jitkit.storage.atomic import atomic_write, require_space
from jitkit.storage.file_content import FileContent
from jitkit.storage.torch_archive import TorchArchive, open_archive
from jitkit.storage.torch_pickle import read_pickle

FORMAT = 1

StateDict = dict[str, Tensor]


@dataclass(repr=False)
class Checkpoint:
    """The state of a run after a step. Field names are the keys of the file, which also has the key `format`."""

    model_state_dict: StateDict
    ema_state_dict: dict[str, StateDict]  # decay -> averaged weights; the first is the one to use
    optimizer_state_dict: dict[str, Any] | None  # None: weights only, cannot be resumed
    epoch: int  # epoch of the step, from 1; 0 before the first step
    step: int  # optimizer steps taken
    loss: float | None  # validation loss at this step; None if not measured
    best_loss: float | None  # lowest validation loss so far
    rng: StateDict  # states of torch's global generators: "cpu", "cuda"
    manifest: str  # the resolved manifest, TOML
    tokenizer: dict[str, bytes]  # the files that the manifest's tokenizer and codec name
    validation_tokens: Tensor  # [N, L] int64, the held-out windows
    data: dict[str, str]  # "fingerprint" of the text and split, "origin" of the text, "initial": of the first weights
    threads: int  # threads of torch during training
    execution: dict[str, str]  # "device", "precision" and "compile" in effect
    versions: dict[str, str]  # "jitkit", "torch" and the distributions of the plugins
    schedule_state_dict: StateDict = field(default_factory=dict)  # empty if the schedule does not learn

    def __repr__(self) -> str:
        return f"Checkpoint(step {self.step:,}, epoch {self.epoch}, loss {self.loss})"

    @property
    def num_bytes(self) -> int:
        """Size of the tensors, which is nearly the size of the file."""
        return sum(tensor.nbytes for tensor in _tensors(vars(self)))


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` to `path` atomically. Its checksums are verified before it replaces an earlier file.

    Raises ResourceError if there is not enough space or the file cannot be written; an earlier file at `path` stays intact.
    """
    needs = checkpoint.num_bytes + 2**20
    require_space(path, needs)
    with atomic_write(path, needs=needs) as file:
        try:
            torch.save({"format": FORMAT, **as_document(checkpoint)}, file)
        except RuntimeError as error:  # raised when torch closes the archive; its context is the write error
            if isinstance(error.__context__, OSError):
                raise error.__context__ from error
            raise
        file.flush()
        try:
            open_archive(Path(file.name))
        except JitkitError as error:
            raise ResourceError("bytes that differ from those written", "a disk that keeps them", file=path) from error


def as_document(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the keys and values of a checkpoint as they are stored: tensors and plain values."""
    tokenizer = {
        name: torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else torch.empty(0, dtype=torch.uint8)
        for name, content in checkpoint.tokenizer.items()
    }
    return {field.name: getattr(checkpoint, field.name) for field in fields(Checkpoint)} | {"tokenizer": tokenizer}


def load_checkpoint(path: Path) -> Checkpoint:
    """Return the checkpoint in a `.pth` file or a checkpoint folder, see `read_checkpoint`."""
    return read_checkpoint(path)[0]


def read_checkpoint(path: Path) -> tuple[Checkpoint, FileContent]:
    """Return the checkpoint in a `.pth` file or a checkpoint folder, validated, and the file, or the folder's index.

    Tensors are on the CPU, memory-mapped if they are whole in one file. Raises InputError for a file that is missing,
    damaged, something else or of a newer format, and RefusedError for one that holds code or is larger in memory than on
    disk.
    """
    document, file = read_folder(path) if is_checkpoint_folder(path) else _read_pth(path)
    values = {name: checked(ADDED_LATER | document, name, path) for name in FIELD_CHECKS}
    values["validation_tokens"] = values["validation_tokens"].clone()  # small; outlives the mapped file
    require_members(values["tokenizer"], file=path, field="tokenizer")
    values["tokenizer"] = {name: bytes(content.numpy()) for name, content in values["tokenizer"].items()}
    return Checkpoint(**values), file


def _read_pth(path: Path) -> tuple[dict[str, Any], FileContent]:
    archive = open_archive(path)
    document = _dictionary(archive)
    if "format" not in document:
        found, hint = shown(sorted(map(str, document))[:8]), "To read weights only, use jitkit.load_pretrained_jit."
        raise InputError(f"a file with the keys {found}", "a jitkit checkpoint", file=path, hint=hint)
    if type(document["format"]) is not int or document["format"] != FORMAT:
        raise InputError(
            f"format {shown(document['format'])}", f"format {FORMAT}", file=path, hint="A newer jitkit may read it."
        )
    return document, archive.file


def versions_in_use(manager: PluginManager) -> dict[str, str]:
    """Return the versions to record in a checkpoint: jitkit, torch and the distributions of all plugins."""
    plugins = {origin.distribution: origin.version for origin in manager.origins.values()}
    return {**plugins, "jitkit": __version__, "torch": str(torch.__version__)}


def read_pth(path: Path) -> dict[str, Any]:
    """Return the dictionary of tensors and plain values in a `.pth` file. Raises what `load_checkpoint` raises."""
    return _dictionary(open_archive(path))


def _dictionary(archive: TorchArchive) -> dict[str, Any]:
    document = read_pickle(archive)
    if not isinstance(document, dict):
        raise InputError(f"a {type(document).__name__}", "a dictionary", file=archive.file.path)
    return document


def _tensors(value: Any) -> list[Tensor]:
    """Return the tensors in nested containers. Each container is visited once, even if the pickle refers to it often."""
    tensors, waiting, seen = [], [value], set[int]()
    while waiting:
        item = waiting.pop()
        if isinstance(item, Tensor):
            tensors.append(item)
        elif isinstance(item, dict | list | tuple | set) and id(item) not in seen:
            seen.add(id(item))
            waiting += item.values() if isinstance(item, dict) else item
    return tensors


def checked(document: dict[str, Any], name: str, path: Path) -> Any:
    """Return the value of a key. Raises InputError if it is missing or has the wrong form."""
    if name not in document:
        raise InputError("no such key", "a jitkit checkpoint", file=path, field=name)
    is_right, expected = FIELD_CHECKS[name]
    if not is_right(document[name]):
        raise InputError(f"a {type(document[name]).__name__} of the wrong form", expected, file=path, field=name)
    return document[name]


Check = Callable[[Any], bool]


def _dict_of(is_item: Check) -> Check:
    """Return a check for dictionaries from strings to items that pass `is_item`."""
    return lambda value: isinstance(value, dict) and all(type(k) is str and is_item(v) for k, v in value.items())


def _array(dtype: torch.dtype, ndim: int) -> Check:
    return lambda value: isinstance(value, Tensor) and value.dtype == dtype and value.ndim == ndim


_COUNT: tuple[Check, str] = (lambda value: type(value) is int and value >= 0, "an integer >= 0")
_LOSS: tuple[Check, str] = (lambda v: v is None or (type(v) is float and math.isfinite(v)), "a finite number or None")
_STATE_DICT = (_dict_of(lambda value: isinstance(value, Tensor)), "names and tensors")
_TEXTS = (_dict_of(lambda value: type(value) is str), "names and texts")

FIELD_CHECKS: dict[str, tuple[Check, str]] = {
    "model_state_dict": _STATE_DICT,
    "ema_state_dict": (_dict_of(_STATE_DICT[0]), "names and tensors for each decay"),
    "optimizer_state_dict": (lambda value: value is None or isinstance(value, dict), "a dictionary or None"),
    "epoch": _COUNT,
    "step": _COUNT,
    "loss": _LOSS,
    "best_loss": _LOSS,
    "rng": (_STATE_DICT[0], "generator states"),
    "manifest": (lambda value: type(value) is str, "the text of a manifest"),
    "tokenizer": (_dict_of(_array(torch.uint8, 1)), "names and bytes"),
    "validation_tokens": (_array(torch.int64, 2), "token ids [N, L]"),
    "data": _TEXTS,
    "threads": _COUNT,
    "execution": _TEXTS,
    "versions": _TEXTS,
    "schedule_state_dict": _STATE_DICT,
}

ADDED_LATER: dict[str, Any] = {"schedule_state_dict": {}}  # values for keys missing in files of earlier versions

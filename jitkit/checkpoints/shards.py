"""Checkpoints as a folder, to which each process of a run writes the parts of tensors that it holds.

    checkpoint_step_00012000/
      shard-00000.safetensors   weights, averages, and optimizer state: rows of each tensor, or all of it
      shard-00001.safetensors
      rest.safetensors          held-out windows, tokenizer files, states of generators, state of the schedule
      index.json                everything else; written last

Nothing in it is pickled, and writing it exchanges no pickled objects, as torch's own sharded checkpoints do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jitkit.checkpoints.nested import nested
from jitkit.checkpoints.shard_index import (
    INDEX,
    ShardFile,
    ShardIndex,
    TensorForm,
    read_shard_index,
    require_sizes,
)
from jitkit.errors import InputError, ResourceError
from jitkit.files import member_path
from jitkit.filesystem import open_regular
from jitkit.storage.atomic import new_file, require_space, writing
from jitkit.storage.file_content import FileContent, map_file, read_file
from jitkit.storage.safetensors_file import DTYPES, NAMES, Writable, parse_exact, write_safetensors

MAX_HEADER = 2**26  # bytes; a tensor takes about 150
PLAIN = ("step", "epoch", "loss", "best_loss", "threads", "execution", "versions", "data", "manifest")
SHARD_EXPECTED = "a file of the checkpoint"

Part = tuple[int, Tensor]  # first row in the whole tensor, and the rows


def shard_name(rank: int) -> str:
    """Return the name of the file that a process writes."""
    return f"shard-{rank:05d}.safetensors"


def write_shard(path: Path, parts: Mapping[str, Part]) -> ShardFile:
    """Write parts of tensors, which are on the CPU, to a new file, and return its entry in the index.

    The file is read back. Raises ResourceError if it cannot be written, or has another content then.
    """
    needs = sum(tensor.nbytes for _, tensor in parts.values())
    require_space(path, needs)
    with writing(path, needs), new_file(path) as file:
        content = _Hashed(file)
        write_safetensors(content, {name: tensor for name, (_, tensor) in parts.items()})
    with open_regular(path, SHARD_EXPECTED, error=ResourceError) as written:
        if hashlib.file_digest(written, "sha256").digest() != content.sha256.digest():
            raise ResourceError("bytes that differ from those written", "a disk that keeps them", file=path)
    offsets = {name: offset for name, (offset, _) in parts.items()}
    return ShardFile(bytes=content.size, sha256=content.sha256.hexdigest(), parts=offsets)


class _Hashed:
    """A file that is hashed while it is written."""

    def __init__(self, file: Writable) -> None:
        self._file, self.sha256, self.size = file, hashlib.sha256(), 0

    def write(self, data: Any, /) -> None:
        """Write and hash bytes."""
        self._file.write(data)
        self.sha256.update(data)
        self.size += len(data)


def read_folder(folder: Path) -> tuple[dict[str, Any], FileContent]:
    """Return the keys and values of the checkpoint in a folder, as in a `.pth` file, and the file of its index.

    Tensors are whole, on the CPU. One that a single process wrote is memory-mapped, the others are put together in memory.
    So each process that loads the checkpoint needs memory for the whole training state, and reads and hashes all files.
    Raises InputError, naming the file, if one is missing, truncated, damaged, or of another checkpoint.
    """
    index = read_shard_index(folder)
    require_sizes(folder, index)
    parts: dict[str, list[Part]] = {name: [] for name in index.tensors}
    for name, file in index.files.items():
        for tensor, part in _read_parts(member_path(folder, name, field="files"), file).items():
            parts.setdefault(tensor, []).append(part)
    if parts.keys() != index.tensors.keys():
        field = min(parts.keys() - index.tensors.keys())
        raise InputError("a tensor without a form", "one of tensors", file=folder / INDEX, field=field)
    tensors = {name: _whole(form, parts[name], folder, name) for name, form in index.tensors.items()}
    try:
        tables = nested(tensors, index.empty)
    except ValueError as error:
        raise InputError(str(error), "names of a checkpoint's tensors", file=folder / INDEX) from error
    values = {name: getattr(index, name) for name in PLAIN}
    return {"optimizer_state_dict": None, **tables, **values}, read_file(folder / INDEX)


def _read_parts(path: Path, file: ShardFile) -> dict[str, Part]:
    """Return the parts in a file. Raises InputError unless its content is that of the index."""
    with map_file(path, SHARD_EXPECTED) as (content, _):
        pass  # it stays mapped
    if content.sha256 != file.sha256:
        found = f"content with SHA-256 {content.sha256[:16]}..."
        hint = "It is damaged, or belongs to another checkpoint."
        raise InputError(found, f"{file.sha256[:16]}..., as in {INDEX}", file=path, hint=hint)
    tensors = parse_exact(content, MAX_HEADER)
    if tensors.keys() != file.parts.keys():
        raise InputError("other tensors than in the index", f"those in {INDEX}", file=path)
    return {name: (file.parts[name], tensor) for name, tensor in tensors.items()}


def _whole(form: TensorForm, parts: Iterable[Part], folder: Path, name: str) -> Tensor:
    """Return a tensor of its parts. Raises InputError unless they are all of its rows."""
    ordered = sorted(parts, key=lambda part: part[0])
    rows = [tensor for _, tensor in ordered]
    if len(rows) == 1 and form_of(rows[0]) == form:
        return rows[0]
    if not rows and 0 in form.shape and form.dtype in DTYPES:
        return torch.empty(form.shape, dtype=DTYPES[form.dtype])
    if rows and form.shape and all(_fits(tensor, form) for tensor in rows):
        starts = [0, *accumulate(map(len, rows))]
        if [offset for offset, _ in ordered] == starts[:-1] and starts[-1] == form.shape[0]:
            return torch.cat(rows)
    expected = f"all rows of a tensor {form.shape} of {form.dtype}"
    raise InputError("parts that do not fit together", expected, file=folder / INDEX, field=name)


def _fits(rows: Tensor, form: TensorForm) -> bool:
    """Return whether `rows` can be rows of a tensor."""
    return bool(rows.ndim) and form_of(rows) == form.model_copy(update={"shape": [len(rows), *form.shape[1:]]})


def form_of(tensor: Tensor) -> TensorForm:
    """Return the form of a whole tensor. Raises InputError for a dtype that the files cannot have."""
    if tensor.dtype not in NAMES:
        raise InputError(f"a tensor of {tensor.dtype}", f"one of {', '.join(map(str, NAMES))}")
    return TensorForm(dtype=NAMES[tensor.dtype], shape=list(tensor.shape))


def index_of(document: Mapping[str, Any], tensors: Mapping[str, Tensor | None], world_size: int) -> ShardIndex:
    """Return the index of a checkpoint, without files. `document` has its keys and values; see `flattened` for `tensors`."""
    return ShardIndex(
        **{name: document[name] for name in PLAIN},
        world_size=world_size,
        tensors={name: form_of(tensor) for name, tensor in tensors.items() if tensor is not None},
        empty=[name for name, tensor in tensors.items() if tensor is None],
        files={},
    )

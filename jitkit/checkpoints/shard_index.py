"""`index.json` of a checkpoint folder: its files, the tensor parts in each, and everything that is not a tensor.

It is written last, so a folder without it is not a complete checkpoint. It holds the SHA-256 of each file and of itself.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from jitkit.documents.document import Count, Document, read_document
from jitkit.errors import InputError, JitkitError, counted
from jitkit.files import member_path, require_members
from jitkit.filesystem import is_file, is_folder, matching, size_of
from jitkit.storage.atomic import write_file

INDEX = "index.json"
REST = "rest.safetensors"
SHARDS = "shard-*.safetensors"
UNFINISHED = "a checkpoint folder whose save was completed"

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class TensorForm(Document):
    """The form of a whole tensor."""

    dtype: str = Field(description="as in .safetensors: F32, I64, ...")
    shape: list[Count]


class ShardFile(Document):
    """A `.safetensors` file with parts of tensors: rows that follow each other."""

    bytes: Count = Field(description="size of the file")
    sha256: Sha256 = Field(description="of its content")
    parts: dict[str, Count] = Field(
        description="by the name of each tensor in the file, its first row in the whole tensor"
    )


class ShardIndex(Document):
    """`index.json` of a checkpoint folder. Names of tensors are those of a `.pth` file's dictionaries, joined by "/"."""

    schema_: Literal["jitkit.shards/1"] = Field("jitkit.shards/1", alias="schema")
    step: Count
    epoch: Count
    loss: float | None = Field(None, description="validation loss at this step")
    best_loss: float | None = Field(None, description="lowest validation loss so far")
    world_size: Count = Field(description="number of processes that wrote it")
    threads: Count = Field(description="of torch, in each process")
    execution: dict[str, str] = Field(description="device, precision, and compilation")
    versions: dict[str, str] = Field(description="of jitkit, torch, and every plugin's distribution")
    data: dict[str, str] = Field(description="text and first weights of the run")
    manifest: str = Field(description="the resolved manifest, TOML")
    tensors: dict[str, TensorForm]
    empty: list[str] = Field(description="names of dictionaries without a tensor")
    files: dict[str, ShardFile]
    sha256: str = Field("", description="of this document with an empty string here")

    def sealed(self) -> ShardIndex:
        """Return the index with its own SHA-256, and text that UTF-8 can encode."""
        clean = ShardIndex.model_validate_json(self.text().encode(errors="replace"))
        return clean.model_copy(update={"sha256": clean.digest})

    def text(self) -> str:
        """Return the index as JSON."""
        return json.dumps(self.as_json(), ensure_ascii=False, allow_nan=False)

    @property
    def digest(self) -> str:
        """The SHA-256 that belongs to the content of the index."""
        unsealed = self.model_copy(update={"sha256": ""})
        return hashlib.sha256(unsealed.text().encode(errors="replace")).hexdigest()


def is_checkpoint_folder(path: Path) -> bool:
    """Return whether `path` is a checkpoint folder, complete or not, rather than a run folder or an exported one."""
    return is_folder(path) and (is_file(path / REST) or bool(matching(path, SHARDS)))


def is_complete(folder: Path) -> bool:
    """Return whether a checkpoint folder has a valid index, and files of the right sizes. Their content is not read."""
    with suppress(JitkitError):
        require_sizes(folder, read_shard_index(folder))
        return True
    return False


def read_shard_index(folder: Path) -> ShardIndex:
    """Return the index of a checkpoint folder.

    Raises InputError if it is missing or damaged, and RefusedError if it names a file outside the folder.
    """
    path = folder / INDEX
    if not is_file(path):
        hint = "It is written last, so the save was interrupted, or it was deleted."
        raise InputError(f"no {INDEX}", UNFINISHED, file=folder, hint=hint)
    index = read_document(path, ShardIndex, expected="the index of a checkpoint folder")
    if index.digest != index.sha256:
        raise InputError("content that differs from its SHA-256", "an undamaged index", file=path, field="sha256")
    require_members(index.files, taken=[INDEX], file=path, field="files")
    return index


def write_shard_index(folder: Path, index: ShardIndex) -> None:
    """Write the index, which completes a checkpoint folder. Raises ResourceError if that fails."""
    write_file(folder / INDEX, index.sealed().text().encode())


def require_sizes(folder: Path, index: ShardIndex) -> None:
    """Raise InputError, naming the file, unless all files of a checkpoint folder are there with the right size."""
    for name, file in index.files.items():
        path = member_path(folder, name, field="files")
        if not is_file(path):
            raise InputError("no such file", f"a file of the checkpoint, of {counted(file.bytes, 'byte')}", file=path)
        if (size := size_of(path)) != file.bytes:
            raise InputError(counted(size, "byte"), f"the {file.bytes:,} that {INDEX} lists", file=path)

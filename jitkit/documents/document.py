"""JSON documents: their base class, provenance, reading, and writing."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jitkit.errors import InputError, shown
from jitkit.filesystem import read_bytes
from jitkit.storage.atomic import write_file

MAX_BYTES = 2**26  # of a document file

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Png = Annotated[str, Field(pattern="^[A-Za-z0-9+/]+={0,2}$", description="a PNG file, base64")]
Numbers = dict[str, float]
Rows = list[dict[str, float | str]]
MetricValues = Numbers | Rows
Setting = bool | int | float | str


class Document(BaseModel):
    """Base of all documents: frozen, strict, without NaN.

    The models define the JSON schemas: files are validated on reading, tests validate the commands' output, and
    docs/json.md is generated from them. Adding a key keeps a schema's version; removing or redefining one raises it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def as_json(self) -> dict[str, Any]:
        """Return the document as plain values, without keys that are None."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


DocumentT = TypeVar("DocumentT", bound=Document)


def read_document(
    path: Path, kind: type[DocumentT], *, expected: str = "a jitkit document", hint: str = ""
) -> DocumentT:
    """Return the document in a file. Raises InputError if it is missing, damaged, or of another schema."""
    text = read_bytes(path, limit=MAX_BYTES, expected=expected, hint=hint)
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or None
        found = shown(first["input"]) if where else "invalid JSON"
        raise InputError(found, first["msg"], file=path, field=where) from error


def write_document(path: Path, document: Document) -> Path:
    """Write a document as JSON and return its path. Raises ResourceError if it cannot be written."""
    text = json.dumps(document.as_json(), ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    write_file(path, text.encode(errors="replace"))  # names of files may not be UTF-8
    return path


class Provenance(Document):
    """Everything needed to reproduce a result."""

    command: str = Field(description="the command line, exactly")
    machine: str = Field(description="processor, system, and device in words")
    versions: dict[str, str] = Field(description="of jitkit, torch and every plugin's distribution")
    manifest: str = Field(description="the resolved manifest, TOML")
    checkpoint_sha256: str | None = Field(default=None, description="of the checkpoint file; absent during training")
    initial: str | None = Field(default=None, description="the model that the first weights came from (`--init`)")
    teacher: str | None = Field(default=None, description="the model that was distilled (`--teacher`)")
    validation_windows: Count | None = Field(
        default=None, description="windows behind each validation loss in training"
    )


def provenance(
    manifest: str,
    versions: dict[str, str],
    machine: str,
    checkpoint_sha256: str | None = None,
    *,
    trained: Mapping[str, str] = MappingProxyType({}),
    validation_windows: int = 0,
) -> Provenance:
    """Return the provenance of what this process produces; `machine` comes from `jitkit.execution.device`.

    `trained` is the `data` of a checkpoint, and `validation_windows` the number of windows in it.
    """
    program = Path(sys.argv[0]).name.replace("__main__.py", "jitkit")  # of `python -m jitkit`
    return Provenance(
        command=shlex.join([program, *sys.argv[1:]]),
        machine=machine,
        versions=versions,
        manifest=manifest,
        checkpoint_sha256=checkpoint_sha256,
        initial=trained.get("initial"),
        teacher=trained.get("teacher"),
        validation_windows=validation_windows or None,
    )

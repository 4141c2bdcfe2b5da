"""`jitkit checkpoint`: turn a checkpoint folder into a file and back, and verify checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitkit.cli.console import print_lines, print_result, print_summary, working
from jitkit.cli.options import JsonOption, OverwriteOption, require_new
from jitkit.errors import InputError, JitkitError, Problem, UsageError, counted
from jitkit.filesystem import exists

if TYPE_CHECKING:
    from jitkit.checkpoints.format import Checkpoint


def pack(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A checkpoint folder.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The .pth file to write.")],
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Combine a checkpoint folder, which several processes saved, into one `.pth` file.

    Example: jitkit checkpoint pack run/jit-nano/checkpoint_step_00012000 jit-nano.pth
    """
    from jitkit.checkpoints.format import load_checkpoint, save_checkpoint
    from jitkit.checkpoints.shard_index import is_checkpoint_folder

    require_new([file], overwrite, field="FILE")
    if not is_checkpoint_folder(folder):
        raise InputError("no checkpoint folder", "one with an index.json", file=folder, field="FOLDER")
    with working("packing"):
        checkpoint = load_checkpoint(folder)
        save_checkpoint(file, checkpoint)
    _print_written("pack", file, checkpoint, as_json)


def unpack(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .pth checkpoint.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The checkpoint folder to create.")],
    as_json: JsonOption = False,
) -> None:
    """Write a `.pth` checkpoint as a folder, as if one process had saved it.

    Example: jitkit checkpoint unpack jit-nano.pth checkpoint
    """
    from jitkit.checkpoints.format import load_checkpoint
    from jitkit.checkpoints.save_shards import save_shards

    if exists(folder):
        raise UsageError("an existing path", "a new name", file=folder, field="FOLDER")
    with working("unpacking"):
        checkpoint = load_checkpoint(file)
        save_shards(folder, checkpoint).finish()
    _print_written("unpack", folder, checkpoint, as_json)


def check(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH", help="Checkpoints (.pth), checkpoint folders, or run folders.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Verify that checkpoints are complete and undamaged.

    Example: jitkit checkpoint check run/jit-nano
    """
    from jitkit.checkpoints.check import checkpoints_at, verified

    rows: list[dict[str, Any]] = []
    errors: list[JitkitError] = []
    with working("checking"):
        for path in [found for given in paths for found in checkpoints_at(given)]:
            try:
                checkpoint, sha256 = verified(path)
            except JitkitError as error:
                errors.append(error)
            else:
                rows.append({**_facts(path, checkpoint), "sha256": sha256})
    document = {"schema": "jitkit.checkpoint-check/1", "checkpoints": rows}
    if not (as_json and errors):  # the error is the document then
        print_result(document, as_json, lambda: print_lines(f"{_line(row)}: ok" for row in rows))
    if errors:
        problems: list[Problem] = [problem for error in errors for problem in error.problems]
        raise type(errors[0])(problems=problems)


def _print_written(action: str, path: Path, checkpoint: Checkpoint, as_json: bool) -> None:
    facts = _facts(path, checkpoint)
    document = {"schema": f"jitkit.checkpoint-{action}/1", **facts}
    print_summary(document, as_json, lambda: print_lines([_line(facts)]))


def _facts(path: Path, checkpoint: Checkpoint) -> dict[str, Any]:
    return {"path": str(path), "step": checkpoint.step, "epoch": checkpoint.epoch, "bytes": checkpoint.num_bytes}


def _line(facts: dict[str, Any]) -> str:
    return (
        f"{facts['path']}: step {facts['step']:,}, epoch {facts['epoch']}, {counted(facts['bytes'], 'byte')} of tensors"
    )

"""Where a run starts: at its beginning, at another model's weights or at a checkpoint of its own, which must fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from jitkit.checkpoints.format import Checkpoint, load_checkpoint
from jitkit.errors import InputError, ManifestError, shown
from jitkit.manifest.schema import Manifest
from jitkit.training.run_folder import RunFolder
from jitkit.training.state import RunMetadata

Note = Callable[[str], None]

# What may change when a run goes on: its length, its housekeeping, its memory, its words, and what happens after training.
FREE = {
    ("summary",),
    ("num_parameters",),
    ("weights",),
    ("eval",),
    ("data", "path"),  # the text itself has to be the same: see `require_same_data`
    ("train", "epochs"),
    ("train", "max_steps"),
    ("train", "validate_every"),
    ("train", "checkpoint_every"),
    ("train", "recompute"),  # gradients are equal bit for bit
    ("train", "keep"),
    ("train", "trackers"),
}


class ResumePoint(NamedTuple):
    """The checkpoint that a run goes on from."""

    path: Path
    checkpoint: Checkpoint


def find_resume_point(
    folder: RunFolder, resume: Path | Literal["auto"] | None, *, overwrite: bool, note: Note
) -> ResumePoint | None:
    """Return the checkpoint to continue from; None for a run from the beginning.

    "auto" is the newest complete checkpoint of the folder. Raises InputError for a path that is missing or damaged (it is
    never a fresh start), UsageError when a fresh start would meet a run that is there already and `overwrite` is false.
    """
    if resume == "auto":
        found = folder.newest_complete(note)
        if found is not None:
            return ResumePoint(*found)
        note(f"{folder.path}: no checkpoint to continue from; starting from the beginning")
    elif resume is not None:
        return ResumePoint(resume, load_checkpoint(resume))
    if not overwrite and resume is None:
        folder.require_fresh()
    return None


def require_same_recipe(manifest: Manifest, earlier: Manifest, start: ResumePoint) -> None:
    """Raise ManifestError, naming each key, where a manifest differs from the one that a checkpoint was trained by."""
    _require_equal(manifest, manifest.model_dump(mode="json"), earlier.model_dump(mode="json"), start.path)


def require_steps_ahead(num_steps: int, manifest: Manifest, start: ResumePoint) -> None:
    """Raise ManifestError where a run of `num_steps` would end before the checkpoint that it goes on from."""
    step = start.checkpoint.step
    if step > num_steps:
        key = "max_steps" if manifest.train.max_steps else "epochs"
        expected = f"{step} steps or more, which {start.path} has taken"
        problem = manifest.source.problem(("train", key), f"a run of {num_steps} steps", expected)
        raise ManifestError(problems=[problem])


def require_same_form(manifest: Manifest, other: Manifest, path: Path) -> None:
    """Raise ManifestError, naming each key, where the weights of another model would mean something else here.

    A network draws the colours of its own codec for its own tokenizer; how it is trained may change.
    """
    ours, theirs = (
        {table: one.model_dump(mode="json")[table] for table in ("tokenizer", "codec", "backbone")}
        for one in (manifest, other)
    )
    _require_equal(manifest, ours, theirs, path)


def require_same_pictures(manifest: Manifest, other: Manifest, path: Path) -> None:
    """Raise ManifestError, naming each key, where another model draws a text as another picture."""
    drawing = ("image_size", "patch_size")
    ours, theirs = (
        {table: dump[table] for table in ("tokenizer", "codec")}
        | {"backbone": {key: dump["backbone"].get(key) for key in drawing}}
        for dump in (manifest.model_dump(mode="json"), other.model_dump(mode="json"))
    )
    _require_equal(manifest, ours, theirs, path)


def require_same_data(facts: RunMetadata, manifest: Manifest, earlier: Manifest, start: ResumePoint) -> None:
    """Raise ManifestError or InputError when the text is not the one that a checkpoint was trained on."""
    found, expected = facts.data.get("fingerprint"), start.checkpoint.data.get("fingerprint")
    if found == expected:
        return
    path, earlier_path = manifest.data.options.get("path"), earlier.data.options.get("path")
    if path != earlier_path:
        raise ManifestError(
            problems=[
                manifest.source.problem(
                    ("data", "path"),
                    f"{shown(path)}, which is another text",
                    f"the text of {shown(earlier_path)}, as in {start.path}",
                )
            ]
        )
    raise InputError(
        f"text with fingerprint {str(found)[:16]}",
        f"{str(expected)[:16]}, the text that the run was trained on",
        file=start.path,
        field="data.fingerprint",
        hint="The text or its split has changed since.",
    )


def require_same_files(facts: RunMetadata, start: ResumePoint) -> None:
    """Raise InputError when a file that the manifest names is not what it was when a checkpoint was trained by it."""
    for name, content in start.checkpoint.tokenizer.items():
        if facts.tokenizer.get(name) != content:
            raise InputError(
                "other content than the run was trained with",
                f"the content embedded in {start.path}",
                file=name,
                hint="The run's own folder holds a copy.",
            )


def note_changed_conditions(facts: RunMetadata, checkpoint: Checkpoint, note: Note) -> None:
    """Say what keeps the continued run from being equal, bit for bit, to the uninterrupted one."""
    now = {"threads": str(facts.threads), **facts.execution, **facts.versions}
    then = {"threads": str(checkpoint.threads), **checkpoint.execution, **checkpoint.versions}
    changed = [
        f"{name} {then.get(name, 'nothing')} -> {now.get(name, 'nothing')}"
        for name in sorted(now.keys() | then.keys())
        if now.get(name) != then.get(name)
    ]
    if changed:
        note(f"warning: changed since the checkpoint, so the rest will differ in rounding: {', '.join(changed)}")


def _require_equal(manifest: Manifest, found: dict[str, Any], expected: dict[str, Any], path: Path) -> None:
    """Raise ManifestError, naming each key, where `found` in a manifest is not what it is in that of `path`."""
    problems = [
        manifest.source.problem(location, _said(ours), f"{_said(theirs)}, as in {path}")
        for location, ours, theirs in _differences(found, expected)
    ]
    if problems:
        raise ManifestError(problems=problems)


def _differences(
    found: dict[str, Any], expected: dict[str, Any], table: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    for key in sorted(found.keys() | expected.keys()):
        location, ours, theirs = (*table, key), found.get(key), expected.get(key)
        if location in FREE or ours == theirs:
            continue
        if isinstance(ours, dict) and isinstance(theirs, dict):
            yield from _differences(ours, theirs, location)
        else:
            yield location, ours, theirs


def _said(value: Any) -> str:
    return "nothing" if value is None else shown(value)

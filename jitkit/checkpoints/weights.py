"""Weights in `.safetensors` and `.pth` files, and the manifest that belongs to them."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch

from jitkit.checkpoints.format import Checkpoint, StateDict, checked, read_pth
from jitkit.errors import InputError, JitkitError, RefusedError
from jitkit.files import member_path
from jitkit.filesystem import exists, matching, real_path
from jitkit.manifest.reader import parse_manifest, read_manifest
from jitkit.manifest.schema import Manifest
from jitkit.manifest.source import ManifestSource
from jitkit.storage.exported_folder import MANIFEST
from jitkit.storage.file_content import FileContent, read_file
from jitkit.storage.safetensors_file import WEIGHTS, parse_safetensors

SUFFIX = ".safetensors"
SCHEDULE_PREFIX = "schedule:"  # of the names of a learned schedule's tensors, stored with the network's weights


def load_weights(path: Path) -> tuple[StateDict, Manifest | None]:
    """Return the weights in a `.pth` (key `model_state_dict`) or `.safetensors` file.

    The second value is the manifest that came with them, or None. Raises InputError and RefusedError as `open_model` does.
    """
    if path.suffix == SUFFIX:
        file, manifest = read_file(path, WEIGHTS), _manifest_of(path)
        if manifest is not None:
            require_sha256(file, str(manifest.weights.sha256))
        return split_schedule(file)[0], manifest
    document = read_pth(path)
    weights, text = checked(document, "model_state_dict", path), document.get("manifest")
    return cast(StateDict, weights), parse_manifest(text, f"{path} (manifest)") if isinstance(text, str) else None


def _manifest_of(weights: Path) -> Manifest | None:
    home = find_weights_manifest(weights)
    return None if home is None else read_manifest(home)


def read_exported(weights: Path) -> tuple[Checkpoint, FileContent]:
    """Return an exported model as a checkpoint without averages, optimizer or held-out windows, and the file of its weights.

    Raises InputError for weights that are damaged or have no manifest, and RefusedError unless their SHA-256 is the one in
    the manifest.
    """
    file = read_file(weights, WEIGHTS)
    manifest = read_manifest(require_manifest(weights))
    require_sha256(file, str(manifest.weights.sha256))
    network, schedule = split_schedule(file)
    loss = manifest.weights.metrics.get("validation.loss")
    checkpoint = Checkpoint(
        model_state_dict=network,
        ema_state_dict={},
        optimizer_state_dict=None,
        epoch=0,
        step=manifest.weights.steps or 0,
        loss=loss,
        best_loss=loss,
        rng={},
        manifest=manifest.source.text,
        tokenizer={},
        validation_tokens=torch.empty(0, 0, dtype=torch.int64),
        data={"origin": manifest.weights.trained_on or "unknown"},
        threads=1,
        execution={"device": manifest.weights.hardware or "unknown"},
        versions={},
        schedule_state_dict=schedule,
    )
    return checkpoint, file


def split_schedule(file: FileContent) -> tuple[StateDict, StateDict]:
    """Return the network's weights and the schedule's learned state in a `.safetensors` file."""
    tensors = parse_safetensors(file)
    learned = [name for name in tensors if name.startswith(SCHEDULE_PREFIX)]
    schedule = {name.removeprefix(SCHEDULE_PREFIX): tensors.pop(name) for name in learned}
    return tensors, schedule


def require_manifest(weights: Path) -> Path:
    """Return the manifest that names `weights`.

    Raises InputError if there is none, and what reading raises if there is only a damaged `manifest.toml` next to them.
    """
    home = find_weights_manifest(weights)
    if home is None:
        own = weights.parent / MANIFEST
        if exists(own):
            read_manifest(own)
        expected = "a manifest (.toml) in this folder or the one above that names them"
        raise InputError("weights without a manifest", expected, file=weights)
    return home


def find_weights_manifest(weights: Path) -> Path | None:
    """Return the manifest that names `weights` as `weights.file`, in the same folder or the one above; None without one.

    Other files with that suffix are ignored, whatever they contain.
    """
    folder = real_path(weights).parent
    manifests = (path for place in (folder, folder.parent) for path in matching(place, "*.toml"))
    return next((path for path in manifests if _names(path, weights)), None)


def _names(manifest: Path, weights: Path) -> bool:
    """Return whether a TOML file can be read and names `weights`."""
    try:
        name = weights_name(manifest)
        return name is not None and real_path(member_path(manifest.parent, name)) == real_path(weights)
    except JitkitError:
        return False


def weights_name(manifest: Path) -> str | None:
    """Return the `weights.file` of a TOML file, or None."""
    weights = ManifestSource.read(manifest).parse().get("weights")
    name = weights.get("file") if isinstance(weights, dict) else None
    return name if isinstance(name, str) else None


def require_sha256(file: FileContent, expected: str) -> None:
    """Raise RefusedError unless the file's SHA-256 is `expected` (64 hexadecimal digits)."""
    if file.sha256 != expected:
        raise RefusedError(file.sha256, expected, file=file.path, field="sha256")

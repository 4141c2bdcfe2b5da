"""All processes of a group must train the same run. Each compares its own with that of the main process."""

from __future__ import annotations

import hashlib
import json

from jitkit import parallel
from jitkit.errors import InputError, ManifestError, Problem
from jitkit.manifest.schema import Manifest
from jitkit.training.manifest_differences import differences
from jitkit.training.state import RunMetadata

PLACES = {("data", "path")}  # machines may have the same text under different paths
MAIN = "rank 0"


def require_same_manifest(manifest: Manifest) -> None:
    """Raise ManifestError, naming each key, if the main process has another manifest."""
    expected = json.loads(parallel.from_main_process(json.dumps(manifest.model_dump(mode="json"))))
    if problems := [problem for _, problem in differences(manifest, expected, MAIN, PLACES)]:
        raise ManifestError(problems=problems)


def require_same_start(metadata: RunMetadata, step: int) -> None:
    """Raise InputError if the main process starts at another step, or from other text, files, or models."""
    files = {name: hashlib.sha256(content).hexdigest()[:16] for name, content in metadata.tokenizer.items()}
    own = {"step": str(step), **files, **metadata.data, "origin": ""}
    expected = json.loads(parallel.from_main_process(json.dumps(own)))
    problems = [
        Problem(own.get(name, "nothing"), f"{expected.get(name, 'nothing')}, as in {MAIN}", field=name)
        for name in sorted(own.keys() | expected.keys())
        if own.get(name) != expected.get(name)
    ]
    if problems:
        raise InputError(problems=problems)

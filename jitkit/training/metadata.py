"""What a checkpoint records about its run, apart from the state that training changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from jitkit import parallel
from jitkit.manifest.writer import manifest_to_toml
from jitkit.training.setup import TrainingSetup


@dataclass(frozen=True)
class RunMetadata:
    """The fields of `Checkpoint` that stay the same during a run."""

    manifest: str
    tokenizer: dict[str, bytes]
    validation_tokens: Tensor
    data: dict[str, str]
    threads: int
    execution: dict[str, str]
    versions: dict[str, str]


def run_metadata(setup: TrainingSetup, versions: Mapping[str, str], origins: Mapping[str, str]) -> RunMetadata:
    """Return the metadata of a run. `origins` describe its initial weights and its teacher, and are recorded with its data."""
    source = setup.components.manifest.data
    options = ", ".join(f"{key} = {value}" for key, value in source.options.items())
    data = {"fingerprint": setup.text.data.fingerprint, "origin": f"{source.use} ({options})"}
    num_processes = parallel.world_size()
    return RunMetadata(
        manifest=manifest_to_toml(setup.components.manifest),
        tokenizer=setup.pipeline.files(),
        validation_tokens=_validation_tokens(setup),
        data={**data, **origins},
        threads=torch.get_num_threads(),
        execution=setup.execution.conditions() | ({"processes": str(num_processes)} if num_processes > 1 else {}),
        versions=dict(versions),
    )


def _validation_tokens(setup: TrainingSetup) -> Tensor:
    """Return `train.validation_windows` windows of held-out text, spread evenly over it, or all if there are fewer."""
    starts = setup.text.validation.consecutive
    count = min(setup.train.validation_windows, len(starts))
    return setup.text.validation.tokens(starts[number * len(starts) // count] for number in range(count))

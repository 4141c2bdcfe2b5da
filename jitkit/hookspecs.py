"""All hooks of jitkit, in the order of a run.

A plugin is a module with functions marked ``@jitkit.hookimpl``, registered in the entry-point group ``jitkit`` of its
distribution::

    # jitkit_hsv.py
    import jitkit

    @jitkit.hookimpl
    def jitkit_codecs():
        from jitkit_hsv_codec import HsvCodec
        return [HsvCodec]

    # pyproject.toml
    [project.entry-points.jitkit]
    hsv = "jitkit_hsv"

*Component hooks* return a list of component classes. Import them inside the function, so that ``jitkit --help`` stays fast.
*Notification hooks* report events of a run. Their results are ignored.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import typer

    from jitkit.component import Component
    from jitkit.pipeline import Pipeline

hookspec = pluggy.HookspecMarker("jitkit")
hookimpl = pluggy.HookimplMarker("jitkit")


@hookspec
def jitkit_data_sources() -> Sequence[type[Component]]:  # type: ignore[empty-body]
    """Return data sources (`[data] use = ...`), see `jitkit.protocols.DataSourceComponent`."""


@hookspec
def jitkit_tokenizers() -> Sequence[type[Component]]:  # type: ignore[empty-body]
    """Return tokenizers (`[tokenizer] use = ...`), see `jitkit.protocols.TokenizerComponent`."""


@hookspec
def jitkit_codecs() -> Sequence[type[Component]]:  # type: ignore[empty-body]
    """Return codecs (`[codec] use = ...`), see `jitkit.protocols.CodecComponent` and `jitkit.codecs.codebook.CodebookCodec`."""


@hookspec
def jitkit_noise_schedules() -> Sequence[type[Component]]:  # type: ignore[empty-body]
    """Return noise schedules (`[schedule] use = ...`), see `jitkit.protocols.NoiseSchedule`."""


@hookspec
def jitkit_backbones() -> Sequence[type[Component]]:  # type: ignore[empty-body]
    """Return backbones (`[backbone] use = ...`), see `jitkit.protocols.Backbone`."""


@hookspec
def jitkit_objectives() -> Sequence[type[Component]]:  # type: ignore[empty-body]
    """Return objectives (`[objective] use = ...`), see `jitkit.protocols.Objective`."""


@hookspec
def jitkit_samplers() -> Sequence[type[Component]]:  # type: ignore[empty-body]
    """Return samplers (`[sampler] use = ...`), see `jitkit.protocols.Sampler`."""


@hookspec
def jitkit_metrics() -> Sequence[type[Component]]:  # type: ignore[empty-body]
    """Return metrics (listed in `eval.metrics`), see `jitkit.evaluation.metric.Metric`."""


@hookspec
def jitkit_trackers() -> Sequence[type[Component]]:  # type: ignore[empty-body]
    """Return trackers (listed in `train.trackers`), see `jitkit.protocols.TrackerComponent`."""


@hookspec
def jitkit_zoo() -> Sequence[Path]:  # type: ignore[empty-body]
    """Return folders of manifests (`*.toml`), which `jitkit zoo list` and all commands that accept a zoo id include."""


@hookspec
def jitkit_cli(app: typer.Typer) -> None:
    """Add commands to the command line. It is called once, before arguments are parsed, so avoid slow imports."""


@hookspec
def jitkit_run_started(folder: Path, pipeline: Pipeline) -> None:
    """Training starts or continues in `folder`."""


@hookspec
def jitkit_step_finished(folder: Path, step: int, values: Mapping[str, float]) -> None:
    """An optimizer step is finished. `values` is its line in `metrics.jsonl`."""


@hookspec
def jitkit_checkpoint_saved(folder: Path, path: Path, step: int) -> None:
    """A checkpoint is complete on disk at `path`."""


@hookspec
def jitkit_evaluated(folder: Path, report: Mapping[str, object]) -> None:
    """`jitkit eval` is finished. `report` is the document that `--json` prints."""


@hookspec
def jitkit_run_finished(folder: Path, step: int, reason: str) -> None:
    """Training has ended. `reason` is "finished", "stopped" or "failed"."""

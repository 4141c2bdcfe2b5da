"""All hooks of jitkit, in the order of a run's life. This file is the plugin author's manual.

A plugin is a module with functions marked ``@jitkit.hookimpl``, named in the entry-point group ``jitkit`` of its
distribution::

    # pyproject.toml                          # jitkit_hsv.py
    [project.entry-points.jitkit]             import jitkit
    hsv = "jitkit_hsv"
                                              @jitkit.hookimpl
                                              def jitkit_codecs():
                                                  from jitkit_hsv_codec import HsvCodec
                                                  return [HsvCodec]

*Offers* are collected: each returns a list of component classes, which import what they need inside the function, so that
``jitkit --help`` stays fast. Two classes of one kind with one name are an error that names both. *Notices* tell what
happened; their results are ignored and a failing one is reported once and never stops a run.
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

# ------------------------------------------------------------------------------------------------ offers


@hookspec
def jitkit_data_sources() -> Sequence[type[Component]]:  # type: ignore[empty-body]
    """Offer data sources (`[data] use = ...`), see `jitkit.protocols.DataSourceComponent`."""


@hookspec
def jitkit_tokenizers() -> Sequence[type[Component]]:  # type: ignore[empty-body]
    """Offer tokenizers (`[tokenizer] use = ...`), see `jitkit.protocols.TokenizerComponent`."""


@hookspec
def jitkit_codecs() -> Sequence[type[Component]]:  # type: ignore[empty-body]
    """Offer codecs (`[codec] use = ...`), see `jitkit.protocols.CodecComponent` and `jitkit.codecs.codebook.CodebookCodec`."""


@hookspec
def jitkit_noise_schedules() -> Sequence[type[Component]]:  # type: ignore[empty-body]
    """Offer noise schedules (`[schedule] use = ...`), see `jitkit.protocols.NoiseSchedule`."""


@hookspec
def jitkit_backbones() -> Sequence[type[Component]]:  # type: ignore[empty-body]
    """Offer networks (`[backbone] use = ...`), see `jitkit.protocols.Backbone`."""


@hookspec
def jitkit_objectives() -> Sequence[type[Component]]:  # type: ignore[empty-body]
    """Offer objectives (`[objective] use = ...`), see `jitkit.protocols.Objective`."""


@hookspec
def jitkit_samplers() -> Sequence[type[Component]]:  # type: ignore[empty-body]
    """Offer samplers (`[sampler] use = ...`), see `jitkit.protocols.Sampler`."""


@hookspec
def jitkit_metrics() -> Sequence[type[Component]]:  # type: ignore[empty-body]
    """Offer metrics (named in `eval.metrics`), see `jitkit.protocols.Metric`."""


@hookspec
def jitkit_trackers() -> Sequence[type[Component]]:  # type: ignore[empty-body]
    """Offer trackers (named in `train.trackers`), see `jitkit.protocols.TrackerComponent`."""


@hookspec
def jitkit_zoo() -> Sequence[Path]:  # type: ignore[empty-body]
    """Offer folders of manifests (`*.toml`); `jitkit zoo list` and every command that takes a zoo id see them."""


@hookspec
def jitkit_cli(app: typer.Typer) -> None:
    """Add commands to the command line. Called once, before arguments are parsed; keep it free of heavy imports."""


# ----------------------------------------------------------------------------------------------- notices


@hookspec
def jitkit_run_started(folder: Path, pipeline: Pipeline) -> None:
    """Tell that training starts or continues in `folder`."""


@hookspec
def jitkit_step_finished(folder: Path, step: int, values: Mapping[str, float]) -> None:
    """Tell that an optimizer step was taken; `values` are those of its line in `metrics.jsonl`."""


@hookspec
def jitkit_checkpoint_saved(folder: Path, path: Path, step: int) -> None:
    """Tell that a checkpoint is complete on disk at `path`."""


@hookspec
def jitkit_evaluated(folder: Path, report: Mapping[str, object]) -> None:
    """Tell that `jitkit eval` finished; `report` is the document that `--json` prints."""


@hookspec
def jitkit_run_finished(folder: Path, step: int, reason: str) -> None:
    """Tell that training ended: `reason` is "finished", "stopped" or "failed"."""

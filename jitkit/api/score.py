"""The score of a text: how many bits a model needs to encode it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from jitkit.ablation.t_interval import mean_and_interval
from jitkit.discovery.loader import PluginManager
from jitkit.discovery.registry import Registry
from jitkit.documents.rows import Row
from jitkit.errors import InputError, PluginError
from jitkit.evaluation.context import EvaluationContext
from jitkit.evaluation.metric import LikelihoodMetric
from jitkit.pipeline import Pipeline
from jitkit.progress import Progress, silent

NUM_DRAWS = 8  # independent estimates, whose spread gives the interval
BATCH_SIZE = 16


@dataclass(frozen=True, repr=False)
class Score:
    """Upper bound on the bits that a model needs for a text. Lower is better; 8 bits per byte means no knowledge at
    all.

    The bound is estimated with random noise. `low` and `high` are the 95% interval of `bits_per_byte` for that noise.
    """

    bits_per_byte: float
    low: float
    high: float
    bits_per_token: float
    num_bytes: int  # of the text that was scored
    num_tokens: int

    def __repr__(self) -> str:
        return f"Score({self.bits_per_byte:.3f} bits per byte, {self.low:.3f} to {self.high:.3f})"


def score_text(
    pipeline: Pipeline, manager: PluginManager, text: str, *, seed: int = 0, progress: Progress = silent
) -> Score:
    """Return the score of a text, which is cut into windows of one image each.

    A model trained with `train.pack` has hardly seen padding, so only its whole windows are scored. Raises InputError
    if there is nothing to score, PluginError without a likelihood metric.
    """
    metric = likelihood_metric(manager)
    windows = _windows(pipeline, text)
    rows = []
    for draw in range(NUM_DRAWS):

        def advance(task: str, done: int, total: int, before: int = draw) -> None:
            del task
            progress("scoring", before * total + done, NUM_DRAWS * total)

        size = pipeline.images_at_once(BATCH_SIZE)
        context = EvaluationContext(pipeline, windows, seed + draw, (), len(windows), batch_size=size, progress=advance)
        measured = metric.measure(context)
        rows.append(measured if isinstance(measured, Mapping) else measured[0])
    return _score(pipeline, windows, rows)


def likelihood_metric(manager: PluginManager) -> LikelihoodMetric:
    """Return the metric that bounds the likelihood, with its default settings. Raises PluginError if there is none."""
    if (metric := Registry(manager).first_with("metrics", "measures_likelihood")) is None:
        raise PluginError("no metric that bounds the likelihood", "an installed one with `measures_likelihood`")
    return cast(LikelihoodMetric, metric())


def _windows(pipeline: Pipeline, text: str) -> Tensor:
    """Return the windows [N, L] int64 of a text, which ends with eos if that fits."""
    tokenizer, length = pipeline.tokenizer, pipeline.codec.capacity
    ids = tokenizer.encode(text)
    if not ids:
        raise InputError("an empty text", "at least one character", field="text")
    if pipeline.manifest.train.pack:
        if len(ids) < length:
            hint = "The model was trained without padding (train.pack)."
            raise InputError(
                f"a text of {len(ids)} tokens", f"at least {length}, a whole image", field="text", hint=hint
            )
        return torch.tensor(ids[: len(ids) // length * length]).view(-1, length)
    ids += [tokenizer.eos_id] * (len(ids) % length > 0)
    ids += [tokenizer.pad_id] * (-len(ids) % length)
    return torch.tensor(ids).view(-1, length)


def _score(pipeline: Pipeline, windows: Tensor, rows: list[Row]) -> Score:
    tokenizer = pipeline.tokenizer
    ids = [token for token in windows.flatten().tolist() if token not in (tokenizer.eos_id, tokenizer.pad_id)]
    per_byte = mean_and_interval([float(row["bits_per_byte"]) for row in rows])
    per_token = mean_and_interval([float(row["bits_per_token"]) for row in rows])
    num_bytes = len(tokenizer.decode_bytes(ids))
    return Score(per_byte["mean"], per_byte["low"], per_byte["high"], per_token["mean"], num_bytes, len(ids))

"""How near the distribution of generated texts is to that of real ones."""

from __future__ import annotations

import os
import statistics
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from jitkit.component import Component
from jitkit.documents.rows import Measurement, Row
from jitkit.evaluation.context import CannotMeasureError, EvaluationContext, evenly
from jitkit_plugins.metrics.compared_texts import HELD_OUT, Sample, compared_texts, held_out_samples
from jitkit_plugins.metrics.gpt2 import Gpt2, load_gpt2, write_tiny_gpt2

CLUSTERINGS = 5
LEAST_TEXTS = 2

Features = npt.NDArray[np.float32]


class Mauve(Component):
    """MAUVE, in [0, 1], of texts from noise and texts that no model wrote against held-out text (extra: mauve)."""

    name: ClassVar[str] = "mauve"

    model: Annotated[str, Field(description="folder or hub name of a GPT-2; gpt2-large if empty")] = ""

    @classmethod
    def tiny(cls, folder: Path) -> Self:
        """Return one that reads with a tiny GPT-2."""
        return cls(model=str(write_tiny_gpt2(folder)))

    def measure(self, context: EvaluationContext) -> Measurement:
        """Return `mauve` and its `spread` against the held-out windows, a row for each of the other texts of `Generation`.

        Features are GPT-2's last states (Pillutla et al. 2021, 2102.01454), and the package `mauve-text` compares them with
        its own settings. `mauve` is the mean over `CLUSTERINGS` seeds of its k-means, `spread` their standard deviation.
        The row `other held-out` compares as many other held-out windows, where there are so many: what real text gets.
        Raises CannotMeasureError where the package, GPT-2 or the training text is missing.
        """
        compute = _mauve()
        gpt2 = load_gpt2(self.model, context.pipeline.device, self.name)
        texts = compared_texts(context)
        real = texts.pop(HELD_OUT)
        texts |= _others(context)
        reference = _features(gpt2, real)
        rows: list[Row] = []
        for name, samples in texts.items():
            found = _features(gpt2, samples)
            if min(len(reference), len(found)) < LEAST_TEXTS:
                raise CannotMeasureError("a single text", "two at least", field=self.name)
            scores = [_score(compute, reference, found, seed) for seed in range(CLUSTERINGS)]
            spread = statistics.stdev(scores)
            rows.append({"text": name, "mauve": statistics.fmean(scores), "spread": spread, "samples": len(found)})
            context.progress("MAUVE", len(rows), len(texts))
        return rows


def _others(context: EvaluationContext) -> dict[str, list[Sample]]:
    """Return the texts of as many held-out windows that are not measured, where there are so many."""
    measured = {tuple(row) for row in context.windows.tolist()}
    others = [row for row in context.held_out.tolist() if tuple(row) not in measured]
    if len(others) < len(context.windows):
        return {}
    return {"other held-out": held_out_samples(context, evenly(torch.tensor(others), len(context.windows)))}


def _features(gpt2: Gpt2, samples: Sequence[Sample]) -> Features:
    """Return the features [N, d] of the texts that are not empty, in an order that is that of their values."""
    ids = [gpt2.ids(sample.text, ended=False) for sample in samples]
    features = [gpt2.features(each).numpy() for each in ids if len(each)]
    return np.array(sorted(features, key=tuple), dtype=np.float32)


def _score(compute: Any, reference: Features, found: Features, seed: int) -> float:
    with _quiet():
        return float(compute(p_features=reference, q_features=found, seed=seed, verbose=False).mauve)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the clustering under MAUVE says of few texts, to the standard error itself, in every repetition."""
    before, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)


def _mauve() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the packages that it imports
            from mauve import compute_mauve
    except ImportError as error:
        hint = "pip install 'jitkit[mauve]' (its package mauve-text is under the GPL, version 3)"
        raise CannotMeasureError("no package mauve-text", "it", field="mauve", hint=hint) from error
    return compute_mauve

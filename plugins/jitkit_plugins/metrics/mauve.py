"""MAUVE: how close the distribution of generated texts is to that of real text."""

from __future__ import annotations

import os
import statistics
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from jitkit.documents.rows import HELD_OUT, Measurement, Row
from jitkit.evaluation.context import CannotMeasureError, EvaluationContext, MissingPackageError, evenly_spaced
from jitkit_plugins.metrics.compared_texts import Sample, compared_texts, held_out_samples
from jitkit_plugins.metrics.gpt2 import Gpt2, Gpt2Metric

CLUSTERINGS = 5
MIN_TEXTS = 2

Features = npt.NDArray[np.float32]


class Mauve(Gpt2Metric):
    """MAUVE, in [0, 1], of samples and simple baselines against held-out text (extra: mauve)."""

    name: ClassVar[str] = "mauve"

    def measure(self, context: EvaluationContext) -> Measurement:
        """Return `mauve` and its `spread` against the held-out windows, one row for each other text of `Generation`.

        Features are GPT-2's last hidden states (Pillutla et al. 2021, 2102.01454), compared by the package `mauve-text`
        with its default settings. `mauve` is the mean over `CLUSTERINGS` k-means seeds, `spread` the standard deviation.
        The row `other held-out` shows the score of real text, if there are enough windows. Raises CannotMeasureError if
        the package, GPT-2, or the training text is missing.
        """
        compute = _mauve()
        gpt2 = self.gpt2(context.pipeline.device)
        texts = compared_texts(context)
        real = texts.pop(HELD_OUT)
        texts |= _other_held_out(context)
        reference = _features(gpt2, real)
        rows: list[Row] = []
        for name, samples in texts.items():
            found = _features(gpt2, samples)
            if min(len(reference), len(found)) < MIN_TEXTS:
                raise CannotMeasureError("a single text", "at least two", field=self.name)
            with _quiet():
                scores = [
                    float(compute(p_features=reference, q_features=found, seed=seed, verbose=False).mauve)
                    for seed in range(CLUSTERINGS)
                ]
            spread = statistics.stdev(scores)
            rows.append({"text": name, "mauve": statistics.fmean(scores), "spread": spread, "samples": len(found)})
            context.progress("MAUVE", len(rows), len(texts))
        return rows


def _other_held_out(context: EvaluationContext) -> dict[str, list[Sample]]:
    """Return the texts of equally many held-out windows that are not measured, if there are enough."""
    measured = {tuple(row) for row in context.windows.tolist()}
    others = [row for row in context.held_out.tolist() if tuple(row) not in measured]
    if len(others) < len(context.windows):
        return {}
    return {"other held-out": held_out_samples(context, evenly_spaced(torch.tensor(others), len(context.windows)))}


def _features(gpt2: Gpt2, samples: Sequence[Sample]) -> Features:
    """Return the features [N, d] of the texts that are not empty, sorted."""
    ids = [gpt2.ids(sample.text, ended=False) for sample in samples]
    features = [gpt2.features(each).numpy() for each in ids if len(each)]
    return np.array(sorted(features, key=tuple), dtype=np.float32)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence warnings of MAUVE's clustering, which writes to file descriptor 2 directly."""
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
            warnings.simplefilter("ignore")  # from imported packages
            from mauve import compute_mauve
    except ImportError as error:
        hint = "pip install 'jitkit[mauve]' (mauve-text has the license GPL-3)"
        raise MissingPackageError("no package mauve-text", "an installed one", field="mauve", hint=hint) from error
    return compute_mauve

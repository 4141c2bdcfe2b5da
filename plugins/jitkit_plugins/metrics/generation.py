"""What can be said of texts that came from noise, which nothing can be compared with word for word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from jitkit.component import Component
from jitkit.errors import InputError
from jitkit.evaluation.controls import control_texts
from jitkit.evaluation.ngrams import judge_of
from jitkit.evaluation.noise import window_generators
from jitkit.evaluation.subject import Subject
from jitkit.protocols import Measurement, Row, Tokenizer
from jitkit_plugins.metrics.generation_statistics import Judge, Sample, statistics


class Generation(Component):
    """Texts from noise beside held-out text and texts that no model wrote; good ones are near held-out text in every row."""

    name: ClassVar[str] = "generation"

    def measure(self, subject: Subject) -> Measurement:
        """Return a row for the model, one for held-out text and one for each naive control; see `statistics`.

        As many texts are sampled as windows are measured. A text ends at its first eos, in windows too; every control has
        a text of the length of each held-out one. Raises InputError without training text, which judge and controls need.
        """
        tokenizer = subject.pipeline.tokenizer
        held_out = [_sample(tokenizer, window) for window in subject.windows]
        if not any(sample.text for sample in held_out):
            raise InputError("held-out windows without a character", "text")
        judge = Judge(subject.training_text, judge_of(subject.training_text))
        controls = control_texts(
            subject.training_text,
            judge.ngrams,
            [len(sample.text) for sample in held_out],
            window_generators(subject.seed, subject.windows, "controls"),
        )
        model = [_sample(tokenizer, generated.tokens) for generated in subject.samples]

        def row(name: str, samples: Sequence[Sample], ends: bool) -> Row:
            return {"text": name, **statistics(samples, judge, seed=subject.seed, ends=ends)}

        return [
            row("model", model, ends=True),
            row("held-out", held_out, ends=True),
            *(
                row(name, [Sample(text, tokenizer.encode(text)) for text in texts], ends=False)
                for name, texts in controls.items()
            ),
        ]


def _sample(tokenizer: Tokenizer, tokens: Tensor) -> Sample:
    """Return the text of a window [L] int64 up to its first eos."""
    ends = torch.nonzero(tokens == tokenizer.eos_id)[:, 0].tolist()
    ids = tokens.tolist()[: ends[0] if ends else None]
    ids = [token for token in ids if token != tokenizer.pad_id]
    return Sample(tokenizer.decode(ids), ids, tokenizer.decode_bytes(ids), ended=bool(ends))

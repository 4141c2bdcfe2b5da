"""Perplexity of generated text under GPT-2, following the protocol of papers on diffusion language models."""

from __future__ import annotations

import math
from typing import ClassVar

from jitkit.documents.rows import Measurement, Row
from jitkit.evaluation.context import EvaluationContext
from jitkit.evaluation.intervals import mean_with_interval, ratio_with_interval
from jitkit_plugins.metrics.compared_texts import compared_texts, entropy
from jitkit_plugins.metrics.gpt2 import Gpt2Metric


class GenPpl(Gpt2Metric):
    """Perplexity of samples, held-out text, and simple baselines under gpt2-large (extra: gen-ppl)."""

    name: ClassVar[str] = "gen_ppl"

    def measure(self, context: EvaluationContext) -> Measurement:
        """Return `gen_ppl`, `gpt2_entropy` and `gpt2_tokens` of the texts of `Generation`, one row each.

        GPT-2's tokenizer encodes each text again, up to 1,024 tokens, with an end-of-text token if the text ended with
        an eos. `gen_ppl` = exp(sum of -log p / number of tokens) over all tokens of all texts except each text's first.
        `gpt2_entropy` is the entropy of the ids within a text in nats, mean over texts. `judge_parameters` identifies the
        size of the GPT-2. Raises CannotMeasureError if GPT-2 or the training text is missing.
        """
        gpt2 = self.gpt2(context.pipeline.device)
        texts = compared_texts(context)
        advance = context.counter("perplexity under GPT-2", sum(map(len, texts.values())))
        rows: list[Row] = []
        seed = context.seed
        for name, samples in texts.items():
            ids = [gpt2.ids(sample.text, sample.ended) for sample in samples]
            nats = [gpt2.nats(each) for each in ids if len(each) > 1]
            sums, lengths = [float(each.sum()) for each in nats], [len(each) for each in nats]
            row: dict[str, float | str] = {
                "text": name,
                **{key: math.exp(value) for key, value in ratio_with_interval("gen_ppl", sums, lengths, seed).items()},
                **mean_with_interval("gpt2_entropy", [entropy(each.tolist()) for each in ids if len(each)], seed),
                **mean_with_interval("gpt2_tokens", [len(each) for each in ids], seed),
                "samples": len(samples),
                "judge_parameters": gpt2.num_parameters,
            }
            rows.append(row)
            advance(len(samples))
        return rows

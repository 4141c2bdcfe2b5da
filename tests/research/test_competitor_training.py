"""Token models train on the same windows as jitkit, in the same order."""

import io

import numpy as np
import torch
from rich.console import Console

from jitkit.assembly import assemble
from jitkit.data.token_stream import TokenStream
from jitkit.data.windows import Windows
from jitkit.parallel.passes import share_of
from jitkit.training.batches import draw_batch
from research.competitors.training import fit
from tests.tiny import resolved

CPU = torch.device("cpu")


class Recorder(torch.nn.Module):
    """A model that records its training batches."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.seen: list[torch.Tensor] = []

    def loss(self, tokens: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        del generator
        self.seen.append(tokens)
        return self.weight.expand(len(tokens))


def test_a_token_model_trains_on_the_windows_of_jitkit_in_every_epoch() -> None:
    components = resolved("train.max_steps=8", "train.batch_size=4", "train.precision=fp32")  # 10 windows an epoch
    train, pipeline = components.manifest.train, assemble(components)
    length, pad = pipeline.codec.capacity, pipeline.tokenizer.pad_id
    text = np.random.default_rng(0).integers(0, pad, 10 * length + 3).astype(np.uint16)
    windows, recorder = Windows(TokenStream("train", text, pad, True, 1, len(text)), length), Recorder()
    fit(recorder, windows, train, CPU, Console(file=io.StringIO()))
    assert len(recorder.seen) == 8
    for step, tokens in enumerate(recorder.seen):
        batch = draw_batch(
            step,
            train=train,
            share=share_of(train.batch_size, 1),
            windows=windows,
            denoiser=pipeline.denoiser,
            device=CPU,
        )
        assert tokens.equal(batch.noised.tokens)

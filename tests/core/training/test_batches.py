from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from jitkit.assembly import assemble
from jitkit.data.token_stream import TokenStream
from jitkit.data.windows import Windows
from jitkit.training.batches import Batch, draw_batch
from tests.tiny import resolved

PIPELINE = assemble(resolved())


TEXT = np.arange(100 * PIPELINE.codec.capacity, dtype=np.uint16) % PIPELINE.tokenizer.pad_id
WINDOWS = Windows(TokenStream("train", TEXT, PIPELINE.tokenizer.pad_id, True, 1, len(TEXT)), PIPELINE.codec.capacity)


def draw(step: int, *, seed: int = 1, batch_size: int = 12) -> Batch:
    return draw_batch(
        step,
        seed=seed,
        batch_size=batch_size,
        windows=WINDOWS,
        denoiser=PIPELINE.denoiser,
        device=torch.device("cpu"),
    )


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    one, again = draw(3), draw(3)
    for name in ("tokens", "x", "noise", "t", "z", "known"):
        assert getattr(one.noised, name).equal(getattr(again.noised, name))
    assert one.condition is not None
    assert one.condition.equal(again.condition)
    assert one.noised.tokens[:, 0].tolist() == TEXT[one.starts].tolist()


@pytest.mark.parametrize("other", [{"step": 4}, {"step": 3, "seed": 2}])
def test_another_step_or_seed_gives_another_batch(other: dict[str, int]) -> None:
    one, another = draw(3), draw(**other)
    assert one.starts != another.starts
    assert not one.noised.t.equal(another.noised.t)
    assert not one.noised.noise.equal(another.noised.noise)


def test_batches_do_not_use_the_global_generator() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = draw(3)
    assert torch.get_rng_state().equal(before)
    torch.manual_seed(2)
    assert draw(3).noised.noise.equal(one.noised.noise)


@pytest.mark.parametrize("num", [1, 2, 3, 12])
def test_the_parts_of_a_batch_make_the_whole(num: int) -> None:
    batch = draw(0)
    parts = list(batch.parts(num))
    assert len(parts) == num
    for field in dataclasses.fields(batch.noised):
        joined = torch.cat([getattr(noised, field.name) for noised, _ in parts])
        assert joined.equal(getattr(batch.noised, field.name))
    assert torch.cat([condition for _, condition in parts if condition is not None]).equal(batch.condition)

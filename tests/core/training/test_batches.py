from __future__ import annotations

import numpy as np
import pytest
import torch

from jitkit.assembly import assemble
from jitkit.data.token_stream import TokenStream
from jitkit.data.windows import Windows
from jitkit.parallel.passes import Share
from jitkit.training.batches import Batch, draw_batch
from tests.tiny import resolved

PIPELINE = assemble(resolved())


TEXT = np.arange(100 * PIPELINE.codec.capacity, dtype=np.uint16) % PIPELINE.tokenizer.pad_id
WINDOWS = Windows(TokenStream("train", TEXT, PIPELINE.tokenizer.pad_id, True, 1, len(TEXT)), PIPELINE.codec.capacity)


def draw(step: int, *, seed: int = 1, batch_size: int = 12, draws: str = "rows", share: Share | None = None) -> Batch:
    return draw_batch(
        step,
        train=resolved(f"train.seed={seed}", f"train.batch_size={batch_size}", f"train.draws={draws}").manifest.train,
        share=share or Share(batch_size, batch_size, 0, 1),
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
    assert one.noised.tokens[:, 0].tolist() == TEXT[one.starts()].tolist()


@pytest.mark.parametrize("other", [{"step": 4}, {"step": 3, "seed": 2}])
def test_another_step_or_seed_gives_another_batch(other: dict[str, int]) -> None:
    one, another = draw(3), draw(**other)
    assert one.starts() != another.starts()
    assert not one.noised.t.equal(another.noised.t)
    assert not one.noised.noise.equal(another.noised.noise)


def test_batches_do_not_use_the_global_generator() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = draw(3)
    assert torch.get_rng_state().equal(before)
    torch.manual_seed(2)
    assert draw(3).noised.noise.equal(one.noised.noise)


def values(batch: Batch) -> dict[str, torch.Tensor]:
    assert batch.condition is not None
    return {**vars(batch.noised), "condition": batch.condition}


@pytest.mark.parametrize("draws", ["rows", "batch"])
@pytest.mark.parametrize(("world", "size"), [(1, 12), (1, 4), (2, 6), (3, 4), (3, 2), (4, 2), (5, 3), (13, 1)])
def test_the_passes_of_all_processes_are_the_batch(draws: str, world: int, size: int) -> None:
    whole, found = values(draw(0, draws=draws)), list[tuple[int, dict[str, torch.Tensor]]]()
    for rank in range(world):
        batch = draw(0, draws=draws, share=Share(12, size, rank, world))
        assert batch.t.equal(whole["t"])
        assert len(batch.noised.t) == batch.share.num_passes * size, "all processes do the same work"
        for one, images, condition in batch.passes():
            assert condition is not None
            part = {**vars(images), "condition": condition}
            found.append((one.number, {name: value[: one.num_real] for name, value in part.items()}))
    parts = [part for _, part in sorted(found, key=lambda pair: pair[0])]
    assert len(parts) == len(found) == max(number for number, _ in found) + 1
    for name, value in whole.items():
        assert torch.cat([part[name] for part in parts]).equal(value), name


def test_other_rows_and_steps_have_other_noise() -> None:
    noise = torch.cat([draw(step).noised.noise for step in range(2)]).flatten(1)
    assert len(noise.unique(dim=0)) == len(noise)
    assert noise.mean().abs() < 5 / noise.numel() ** 0.5
    assert abs(noise.std() - 1) < 0.02


def test_no_share_has_more_images_than_it_needs() -> None:
    for batch_size in range(1, 20):
        for world in range(1, 9):
            for size in range(1, -(-batch_size // world) + 1):
                share = Share(batch_size, size, 0, world)
                assert batch_size <= share.num_passes * world * size < batch_size + world * size

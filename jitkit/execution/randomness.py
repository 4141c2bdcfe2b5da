"""Random numbers: generators for seeds, and torch's global generators left as the caller had them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from jitkit.errors import UsageError, shown

MAX_SEED = 2**63 - 1


def seeded_generator(seed: int) -> torch.Generator:
    """Return a new generator on the CPU. Raises UsageError for a seed that is not in [0, `MAX_SEED`]."""
    return torch.Generator().manual_seed(_torch_seed(seed))


def seed_global_generators(seed: int, device: torch.device) -> None:
    """Seed torch's global generators of the CPU and of `device`, which initialize new weights."""
    if device.type in {"cpu", "meta"}:
        torch.default_generator.manual_seed(_torch_seed(seed))
    else:
        torch.manual_seed(_torch_seed(seed))


@contextmanager
def keep_global_generators(device: torch.device) -> Iterator[None]:
    """Restore the state of torch's global generators of the CPU and of `device` at the end of the block."""
    on_gpu = range(torch.cuda.device_count()) if device.type == "cuda" else ()
    before = torch.mps.get_rng_state() if device.type == "mps" else None
    try:
        with torch.random.fork_rng(on_gpu):
            yield
    finally:
        if before is not None:
            torch.mps.set_rng_state(before)


def _torch_seed(seed: int) -> int:
    """Return the seed that torch gets: itself below 2^32, otherwise a hash, because torch ignores higher bits on a CPU."""
    if not 0 <= seed <= MAX_SEED:
        raise UsageError(shown(seed), f"an integer from 0 to {MAX_SEED}", field="seed")
    return seed if seed < 2**32 else int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:4], "little")

"""Windows of tokens, one an image, and the order in which training draws them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from jitkit.data.permutation import permuted
from jitkit.data.shards import TokenStream
from jitkit.errors import InputError


class Windows:
    """A stream of tokens, cut into windows of `length`; pad fills the last one, so that nothing is lost."""

    def __init__(self, stream: TokenStream, length: int) -> None:
        """Raise InputError when the stream is shorter than one window."""
        if len(stream) < length:
            raise InputError(
                f"{len(stream)} tokens of {stream.split} text",
                f"at least {length}, one window",
                field="data.validation_fraction" if stream.split == "validation" else "data",
                hint="Give more text." if stream.split == "train" else "Give more text, or a larger fraction.",
            )
        self.stream = stream
        self.length = length

    def __len__(self) -> int:
        return -(-len(self.stream) // self.length)

    def tokens(self, indices: Sequence[int] | Tensor) -> Tensor:
        """Return windows [n, L] int64. Raises IndexError for an index outside [0, len)."""
        chosen = [int(index) for index in indices]
        if chosen and not 0 <= min(chosen) <= max(chosen) < len(self):
            raise IndexError(f"window {min(chosen)}..{max(chosen)} of {len(self)}")
        windows = np.full((len(chosen), self.length), self.stream.pad_id, dtype=np.int64)
        for row, index in zip(windows, chosen, strict=True):
            window = self.stream.tokens[index * self.length : (index + 1) * self.length]
            row[: len(window)] = window
        return torch.from_numpy(windows)


def batch_indices(seed: int, step: int, batch_size: int, num_windows: int) -> list[int]:
    """Return the windows that make up batch `step` (0, 1, ...), a pure function of the arguments.

    Batches follow each other through one shuffled epoch after another: every window comes once an epoch, each time in
    another order, and a batch may straddle two epochs. So there is no loader whose state could be lost.
    """
    draws = range(step * batch_size, (step + 1) * batch_size)
    return [permuted(k % num_windows, num_windows, seed, k // num_windows) for k in draws]

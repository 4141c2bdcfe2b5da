"""Windows of tokens, one an image: where held-out text is cut, and where training cuts its own, in which order."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from jitkit.data.permutation import permuted
from jitkit.data.shards import TokenStream
from jitkit.errors import InputError


class Windows:
    """Windows of `length` tokens of a stream. A window is named by its start: the place of its first token in the stream."""

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

    @property
    def fixed(self) -> range:
        """Where windows start that lie end to end from the first token on; pad fills the last, so that nothing is lost."""
        return range(0, len(self.stream), self.length)

    @property
    def per_epoch(self) -> int:
        """How many windows training draws in an epoch: as many as the text fills, the same in all."""
        return len(self.stream) // self.length

    def drawn(self, seed: int, step: int, batch_size: int) -> list[int]:
        """Return where the windows of batch `step` (0, 1, ...) start, a pure function of the arguments.

        Batches follow each other through one epoch after another, and one may straddle two. An epoch cuts the text end to
        end from an offset of its own and shuffles the windows, so no token comes twice in it. Of the two ends, tokens before
        the offset and those behind the last window are left out, each fewer than a window; where the last window reaches
        beyond the text, pad fills it. So there is no loader whose state could be lost.
        """
        num = self.per_epoch
        draws = [divmod(number, num) for number in range(step * batch_size, (step + 1) * batch_size)]
        offsets = {epoch: self._offset(seed, epoch) for epoch in {epoch for epoch, _ in draws}}
        return [offsets[epoch] + self.length * permuted(place, num, seed, epoch) for epoch, place in draws]

    def _offset(self, seed: int, epoch: int) -> int:
        """Return where the first window of an epoch (0, 1, ...) starts: 0 in the first, and each offset once in `length` epochs.

        It is always 0 where every document starts a window.
        """
        if not self.stream.packed:
            return 0
        era, place = divmod(epoch, self.length)
        return (permuted(place, self.length, seed, era) - permuted(0, self.length, seed, 0)) % self.length

    def tokens(self, starts: Iterable[int]) -> Tensor:
        """Return the windows [n, L] int64 that start there; behind the end of the stream stands pad.

        Raises IndexError for a start that is not in the stream.
        """
        chosen = list(starts)
        if chosen and not 0 <= min(chosen) <= max(chosen) < len(self.stream):
            raise IndexError(f"window at {min(chosen)}..{max(chosen)} of {len(self.stream)} tokens")
        windows = np.full((len(chosen), self.length), self.stream.pad_id, dtype=np.int64)
        for row, start in zip(windows, chosen, strict=True):
            window = self.stream.tokens[start : start + self.length]
            row[: len(window)] = window
        return torch.from_numpy(windows)

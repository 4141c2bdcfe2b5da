"""Which images of a batch a process computes.

All processes take the same number of passes of the same size, because a pass through a sharded network is a collective
operation: a process with fewer passes would leave the others waiting. Where images are missing, passes are padded with
images that weigh nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jitkit.parallel.process_group import rank, world_size


@dataclass(frozen=True)
class Pass:
    """Some images that go through the network together."""

    number: int  # among the passes of all processes
    rows: range  # of the process's own images
    num_real: int  # the first ones; the others are padding
    is_last: bool  # of the process


@dataclass(frozen=True)
class Share:
    """The passes of one process. Pass j of process r is number ``j * world + r`` of the batch."""

    batch_size: int
    size: int  # images in a pass
    rank: int
    world: int

    @property
    def num_passes(self) -> int:
        """The number of passes of each process."""
        return -(-self.batch_size // (self.size * self.world))

    @property
    def rows(self) -> list[int]:
        """The images of the process, as indices into the batch, pass by pass; the last image of the batch is the padding."""
        firsts = [self._number(index) * self.size for index in range(self.num_passes)]
        last = self.batch_size - 1
        return [min(row, last) for first in firsts for row in range(first, first + self.size)]

    def passes(self) -> Iterator[Pass]:
        """Yield the passes of the process."""
        for index in range(self.num_passes):
            number, first = self._number(index), index * self.size
            left = max(0, self.batch_size - number * self.size)
            yield Pass(number, range(first, first + self.size), min(self.size, left), index == self.num_passes - 1)

    def _number(self, index: int) -> int:
        return index * self.world + self.rank


def share_of(batch_size: int, accumulate: int, images: int | None = None) -> Share:
    """Return the share of this process in a batch.

    `accumulate` is the number of passes of a single process, and divides `batch_size`. `images`, if given, limits the size
    of a pass; more processes than passes also make it smaller.
    """
    size = min(images or batch_size // accumulate, -(-batch_size // world_size()))
    return Share(batch_size, size, rank(), world_size())

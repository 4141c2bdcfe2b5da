"""Commands that the processes of `torchrun` run together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from jitkit.cli.console import err


@contextmanager
def sharing_work(device: str) -> Iterator[bool]:
    """Share what the block computes with the other processes that `torchrun` has started, if any; see `jitkit.parallel`.

    Yield whether this process is the one that prints results and writes files. The others print nothing but errors.
    """
    if "MASTER_ADDR" not in os.environ:
        yield True
        return
    from jitkit import parallel
    from jitkit.execution.device import find_device

    with parallel.sharing_work(find_device(device)):
        err.quiet = not parallel.is_main_process()
        yield parallel.is_main_process()

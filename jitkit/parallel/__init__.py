"""Training in several processes started by torchrun. A single process is a group of one."""

from jitkit.parallel.process_group import (
    all_reduce_gradients,
    all_reduce_max,
    all_reduce_sum,
    barrier,
    broadcast,
    is_main_process,
    launched_by_torchrun,
    local_rank,
    owns_microbatch,
    process_group,
    rank,
    world_size,
)

__all__ = [
    "all_reduce_gradients",
    "all_reduce_max",
    "all_reduce_sum",
    "barrier",
    "broadcast",
    "is_main_process",
    "launched_by_torchrun",
    "local_rank",
    "owns_microbatch",
    "process_group",
    "rank",
    "world_size",
]

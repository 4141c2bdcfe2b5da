"""The processes that `torchrun` starts to train one model, and how they share the work. A single process is a group of one."""

from jitkit.parallel.process_group import (
    all_reduce_max,
    all_reduce_sum,
    barrier,
    broadcast,
    dealt,
    from_main_process,
    gather_numbers,
    is_main_process,
    launched_by_torchrun,
    local_rank,
    named,
    process_group,
    rank,
    reporting_lost_processes,
    reporting_once,
    world_size,
)
from jitkit.parallel.shared_work import agreed, map_batches, num_sharing, sharing_work

__all__ = [
    "agreed",
    "all_reduce_max",
    "all_reduce_sum",
    "barrier",
    "broadcast",
    "dealt",
    "from_main_process",
    "gather_numbers",
    "is_main_process",
    "launched_by_torchrun",
    "local_rank",
    "map_batches",
    "named",
    "num_sharing",
    "process_group",
    "rank",
    "reporting_lost_processes",
    "reporting_once",
    "sharing_work",
    "world_size",
]

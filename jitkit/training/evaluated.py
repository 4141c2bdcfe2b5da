"""The model of a run as it is evaluated: with the averaged weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from jitkit import parallel
from jitkit.assembly import initialized_network
from jitkit.execution.randomness import keep_global_generators
from jitkit.execution.runtime_network import RuntimeNetwork
from jitkit.parallel.sharding import full
from jitkit.pipeline import Pipeline
from jitkit.training.setup import TrainingSetup
from jitkit.training.state import State


@contextmanager
def evaluated(setup: TrainingSetup, state: State) -> Iterator[Pipeline]:
    """Yield the pipeline of a run with its first averaged weights, which it has until the end of the block.

    With several processes it has a copy of the network that is not sharded. So each process can evaluate for itself, in as
    many passes as it likes.
    """
    if parallel.world_size() == 1:
        with state.averages.ema_scope(state.network):
            yield setup.pipeline
        return
    average = next(iter(state.averages.states.values()), state.network.state_dict())
    weights = {name: full(value) for name, value in average.items()}
    with keep_global_generators(setup.device):
        network = initialized_network(setup.components, setup.pipeline.codec, setup.device)
    network.load_state_dict(weights)
    yield setup.pipeline.with_network(RuntimeNetwork(network.train(), setup.execution.uncompiled()))

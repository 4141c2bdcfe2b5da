"""Evaluation mode of a network, for a limited time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def eval_mode(network: nn.Module) -> Iterator[None]:
    """Put the network into evaluation mode, and restore its mode afterward."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)

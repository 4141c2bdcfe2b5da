"""The codec meets jitkit's requirements, and jitkit finds it."""

from collections.abc import Callable
from typing import Literal

import pytest
from jitkit.discovery import Registry, create_plugin_manager
from jitkit.testing import parametrize_conformance

from jitkit_walsh.codec import WalshCodec


@parametrize_conformance("codec", WalshCodec(), WalshCodec(length=32))
def test_it_meets_the_requirements(conformance_test: Callable[[], None]) -> None:
    conformance_test()


def test_jitkit_finds_it() -> None:
    found = Registry(create_plugin_manager()).component("codec", "walsh")
    assert found is WalshCodec


@pytest.mark.parametrize("length", [4, 8, 16, 32])
def test_two_waves_differ_in_half_of_their_values_or_in_all(length: Literal[4, 8, 16, 32]) -> None:
    words = WalshCodec(length=length).codebook(2 * length).int()
    distances = (words[:, None] != words).sum(-1)
    assert set(distances[distances > 0].tolist()) == {length // 2, length}
    assert (distances == 0).sum() == len(words)

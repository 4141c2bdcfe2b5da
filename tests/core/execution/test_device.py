"""Names of devices."""

from __future__ import annotations

import pytest
import torch

from jitkit.errors import ResourceError
from jitkit.execution.device import find_device

# The first has no values, the next two lack their module in torch, and the others are of torch but not of this machine.
NAMES = ["meta", "hpu", "privateuseone", "xla", "xpu", "mkldnn", "cuda:99", "cpu:3", "fpga", "", "tpu", "\x1b[31m"]


@pytest.mark.parametrize("name", NAMES)
def test_a_device_that_cannot_be_used_is_an_error(name: str) -> None:
    with pytest.raises(ResourceError, match=r"^--device: found device .* of this machine"):
        find_device(name)


def test_the_cpu_is_a_device() -> None:
    assert find_device("cpu") == torch.device("cpu")
    assert find_device("auto").type in {"cpu", "cuda", "mps"}

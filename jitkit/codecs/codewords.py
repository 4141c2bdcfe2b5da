"""Codewords: one row of bytes a token, and how well each of them explains what was read."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

COLUMNS = 16  # of a narrow matrix, by which threads share a product out evenly: 15 took two threads as long as one


class Codebook(Protocol):
    """Codewords of n numbers, and the search for the nearest one."""

    @property
    def words(self) -> Tensor:
        """The codewords [V, n] uint8; byte b stands for x = b / 127.5 - 1."""
        ...

    @property
    def margin(self) -> float:
        """Half the least Euclidean distance of two codewords, in units of x; infinite for a single codeword."""
        ...

    def nearest(self, values: Tensor) -> Tensor:
        """Return the ids [N] int64 of the codewords nearest to `values` [N, n] float32, in units of x."""
        ...

    def nearest_bytes(self, words: Tensor) -> Tensor:
        """Return the ids [N] int64 of the codewords nearest to `words` [N, n] uint8."""
        ...

    def scores(self, values: Tensor, variance: Tensor | float = 1.0) -> Tensor:
        """Return ``(y . c - |c|^2 / 2) / variance`` [..., V] of `values` y [..., n] and each codeword c: see `Scores`."""
        ...

    def posterior_mean(self, values: Tensor, variance: Tensor) -> Tensor:
        """Return the mean codeword [..., n] float32 behind `values` [..., n], in units of x, all ids being equally likely.

        `values` are read as codeword plus Gaussian noise of `variance`, which broadcasts against them and has 1 for n.
        """
        ...


class Constant:
    """A tensor that never changes, copied once to each device where it is needed.

    It may be made and copied in inference mode and still be used where gradients are taken.
    """

    def __init__(self, tensor: Tensor) -> None:
        self._home = tensor.device
        with torch.inference_mode(False):
            self._copies = {tensor.device: tensor.clone() if tensor.is_inference() else tensor}

    def on(self, device: torch.device) -> Tensor:
        """Return the tensor on `device`."""
        if device not in self._copies:
            with torch.inference_mode(False):
                self._copies[device] = self._copies[self._home].to(device)
        return self._copies[device]


class Scores:
    """Scores of all codewords. The greatest is the nearest, since ``-|y - c|^2 / 2 = y . c - |c|^2 / 2 - |y|^2 / 2``.

    Divided by a variance they are one matrix product all the same: (y, -1, 0, ...) / variance times (c, |c|^2 / 2, 0, ...).
    """

    def __init__(self, words: Tensor) -> None:
        """Take the codewords [V, n] uint8."""
        values = words.float() / 127.5 - 1
        self._values = Constant(values)
        columns = torch.cat((values, values.square().sum(1, keepdim=True) / 2), 1)
        self._columns = Constant(nn.functional.pad(columns, (0, -columns.shape[1] % COLUMNS)).T.contiguous())

    def __call__(self, values: Tensor, variance: Tensor | float = 1.0) -> Tensor:
        """Return the scores [..., V] float32 of `values` [..., n], over `variance`, which has 1 for n; differentiable."""
        with torch.autocast(values.device.type, enabled=False):  # bfloat16 would blur neighbouring codewords
            columns = self._columns.on(values.device)
            rows = nn.functional.pad(values.float(), (0, 1), value=-1) / variance
            return nn.functional.pad(rows, (0, len(columns) - rows.shape[-1])) @ columns

    def posterior_mean(self, values: Tensor, variance: Tensor) -> Tensor:
        """Return the mean codeword [..., n] float32 behind `values` [..., n]: a softmax over all codewords."""
        probabilities = self(values, variance).softmax(-1)
        with torch.autocast(values.device.type, enabled=False):
            return probabilities @ self._values.on(values.device)

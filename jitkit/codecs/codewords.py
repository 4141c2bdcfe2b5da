"""Codewords (one row of bytes per token) and their scores given noisy values."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

COLUMNS = 16  # narrow matrices are padded to this multiple; with 15 columns, two threads were as slow as one


class Constant:
    """A constant tensor that is copied once to each device. It works with autograd even if created in inference mode."""

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


class Codebook(ABC):
    """Codewords of n values, and the search for the nearest one."""

    def __init__(self, words: Tensor) -> None:
        """Use the codewords [V, n] uint8. Byte b stands for x = b / 127.5 - 1."""
        self.words = words
        values = words.float() / 127.5 - 1
        self._values = Constant(values)
        columns = torch.cat((values, values.square().sum(1, keepdim=True) / 2), 1)
        self._columns = Constant(nn.functional.pad(columns, (0, -columns.shape[1] % COLUMNS)).T.contiguous())

    @property
    @abstractmethod
    def margin(self) -> float:
        """Half the smallest Euclidean distance between two codewords, in units of x; infinite for one codeword."""

    @abstractmethod
    def nearest(self, values: Tensor) -> Tensor:
        """Return the ids [N] int64 of the codewords nearest to `values` [N, n] float32, in units of x."""

    @abstractmethod
    def nearest_bytes(self, words: Tensor) -> Tensor:
        """Return the ids [N] int64 of the codewords nearest to `words` [N, n] uint8."""

    def scores(self, values: Tensor, variance: Tensor | float = 1.0) -> Tensor:
        """Return scores [..., V] float32 of `values` [..., n] for `variance` [..., 1], highest for the nearest codeword.

        Differentiable. From ``-|y - c|^2 / 2 = y . c - |c|^2 / 2 - |y|^2 / 2``, the last term is left out. The rest is one
        matrix product, including the variance: (y, -1, 0, ...) / variance times (c, |c|^2 / 2, 0, ...).
        """
        with torch.autocast(values.device.type, enabled=False):  # bfloat16 cannot separate close codewords
            columns = self._columns.on(values.device)
            rows = nn.functional.pad(values.float(), (0, 1), value=-1) / variance
            return nn.functional.pad(rows, (0, len(columns) - rows.shape[-1])) @ columns

    def posterior_mean(self, values: Tensor, variance: Tensor) -> Tensor:
        """Return the posterior mean [..., n] float32 of the codeword given `values` [..., n], in units of x.

        The model is a uniformly drawn codeword plus Gaussian noise. `variance` [..., 1] broadcasts against `values`.
        """
        probabilities = self.scores(values, variance).softmax(-1)
        with torch.autocast(values.device.type, enabled=False):
            return probabilities @ self._values.on(values.device)

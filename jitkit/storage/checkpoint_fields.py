"""The required type of each key in a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Check = Callable[[Any], bool]


def _dict_of(is_item: Check) -> Check:
    """Return a check for dictionaries from strings to items that pass `is_item`."""
    return lambda value: (
        isinstance(value, dict) and all(type(key) is str and is_item(item) for key, item in value.items())
    )


def _array(dtype: torch.dtype, ndim: int) -> Check:
    return lambda value: isinstance(value, Tensor) and value.dtype == dtype and value.ndim == ndim


_COUNT: tuple[Check, str] = (lambda value: type(value) is int and value >= 0, "an integer >= 0")
_LOSS: tuple[Check, str] = (lambda value: value is None or type(value) is float, "a number or None")
_STATE_DICT = (_dict_of(lambda value: isinstance(value, Tensor)), "names and tensors")
_TEXTS = (_dict_of(lambda value: type(value) is str), "names and texts")

FIELD_CHECKS: dict[str, tuple[Check, str]] = {
    "model_state_dict": _STATE_DICT,
    "ema_state_dict": (_dict_of(_STATE_DICT[0]), "names and tensors for each decay"),
    "optimizer_state_dict": (lambda value: value is None or isinstance(value, dict), "a dictionary or None"),
    "epoch": _COUNT,
    "step": _COUNT,
    "loss": _LOSS,
    "best_loss": _LOSS,
    "rng": (_STATE_DICT[0], "generator states"),
    "manifest": (lambda value: type(value) is str, "the text of a manifest"),
    "tokenizer": (_dict_of(_array(torch.uint8, 1)), "names and bytes"),
    "validation_tokens": (_array(torch.int64, 2), "token ids [N, L]"),
    "data": _TEXTS,
    "threads": _COUNT,
    "execution": _TEXTS,
    "versions": _TEXTS,
    "schedule_state_dict": _STATE_DICT,
}

ADDED_LATER: dict[str, Any] = {"schedule_state_dict": {}}  # values for keys missing in files of earlier versions

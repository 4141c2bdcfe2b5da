"""The required type of each key in a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_loss(value: object) -> bool:
    return value is None or type(value) is float


def _is_texts(value: object) -> bool:
    return isinstance(value, dict) and all(type(item) is str for pair in value.items() for item in pair)


def _is_state_dict(value: object) -> bool:
    return isinstance(value, dict) and all(type(k) is str and isinstance(v, Tensor) for k, v in value.items())


def _is_averages(value: object) -> bool:
    return isinstance(value, dict) and all(type(k) is str and _is_state_dict(v) for k, v in value.items())


def _is_optimizer(value: object) -> bool:
    return value is None or isinstance(value, dict)


def _is_files(value: object) -> bool:
    return isinstance(value, dict) and all(
        type(k) is str and isinstance(v, Tensor) and v.dtype == torch.uint8 and v.ndim == 1 for k, v in value.items()
    )


def _is_windows(value: object) -> bool:
    return isinstance(value, Tensor) and value.dtype == torch.int64 and value.ndim == 2


FIELD_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "model_state_dict": (_is_state_dict, "names and tensors"),
    "ema_state_dict": (_is_averages, "names and tensors for each decay"),
    "optimizer_state_dict": (_is_optimizer, "a dictionary or None"),
    "epoch": (_is_count, "an integer >= 0"),
    "step": (_is_count, "an integer >= 0"),
    "loss": (_is_loss, "a number or None"),
    "best_loss": (_is_loss, "a number or None"),
    "rng": (_is_state_dict, "generator states"),
    "manifest": (lambda value: type(value) is str, "the text of a manifest"),
    "tokenizer": (_is_files, "names and bytes"),
    "validation_tokens": (_is_windows, "token ids [N, L]"),
    "data": (_is_texts, "names and texts"),
    "threads": (_is_count, "an integer >= 0"),
    "execution": (_is_texts, "names and texts"),
    "versions": (_is_texts, "names and texts"),
    "schedule_state_dict": (_is_state_dict, "names and tensors"),
}

ADDED_LATER: dict[str, Any] = {"schedule_state_dict": {}}  # values for keys missing in files of earlier versions

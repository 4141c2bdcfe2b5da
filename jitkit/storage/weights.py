"""Loading weights into a network: every name, shape and dtype must match, and every value must be finite."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from jitkit.errors import InputError, Problem, counted

MAX_PROBLEMS = 5  # maximum lines of an error message


def load_into(module: nn.Module, weights: Mapping[str, Tensor], *, file: object) -> None:
    """Copy `weights` into `module`. Raises InputError, leaving the module unchanged, if they do not match exactly."""
    require_fit(module.state_dict(), weights, file=file)
    module.load_state_dict(weights, strict=True)


def require_fit(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], *, file: object) -> None:
    """Raise InputError that lists the tensors with a wrong name, shape or dtype, or with values that are not finite."""
    problems = _misfits(expected, found, str(file))
    if len(problems) > MAX_PROBLEMS:
        more = counted(len(problems) - MAX_PROBLEMS, "more mismatch")
        problems = [*problems[:MAX_PROBLEMS], Problem(more, "none", str(file))]
    if problems:
        raise InputError(problems=problems)


def _misfits(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], file: str) -> list[Problem]:
    """Return the mismatches between `found` and `expected`, by name."""
    problems = []
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            problems.append(Problem("no such tensor", _form(expected[name]), file, field=name))
            continue
        if name not in expected:
            problems.append(Problem(_form(found[name]), "no tensor of this name", file, field=name))
            continue
        wanted, given = expected[name], found[name]
        if given.shape != wanted.shape or given.dtype != wanted.dtype:
            problems.append(Problem(_form(given), _form(wanted), file, field=name))
        elif given.is_floating_point() and not _is_finite(given):
            problems.append(Problem("values that are not finite", "finite weights", file, field=name))
    return problems


def _is_finite(tensor: Tensor) -> bool:
    """Return whether every value is finite. The sum is usually enough, at a tenth of the cost of checking each value."""
    return bool(torch.isfinite(tensor.sum())) or bool(torch.isfinite(tensor).all())


def _form(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} of {str(tensor.dtype).removeprefix('torch.')}"

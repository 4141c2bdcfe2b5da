"""Loading weights into a network: every name, shape and dtype must match, and every value must be finite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from jitkit.errors import InputError, Problem, counted

MAX_PROBLEMS = 5  # maximum lines of an error message


def load_into(module: nn.Module, weights: Mapping[str, Tensor], *, file: object) -> None:
    """Copy `weights` into `module`. Raises InputError, leaving the module unchanged, if they do not match exactly."""
    require_fit(module.state_dict(), weights, file=file)
    module.load_state_dict(weights, strict=True)


def require_form(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], *, file: object) -> None:
    """Raise InputError that lists the tensors with a wrong name, shape or dtype. `expected` may be on `meta`."""
    _raise(list(_wrong_forms(expected, found, str(file))), file)


def require_fit(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], *, file: object) -> None:
    """Raise InputError that lists the tensors with a wrong name, shape or dtype, or with values that are not finite."""
    problems = list(_wrong_forms(expected, found, str(file)))
    wrong = {problem.field for problem in problems}
    problems += [
        Problem("values that are not finite", "finite weights", str(file), field=name)
        for name, value in found.items()
        if name not in wrong and value.is_floating_point() and not _is_finite(value)
    ]
    _raise(problems, file)


def _raise(problems: list[Problem], file: object) -> None:
    if len(problems) > MAX_PROBLEMS:
        more = counted(len(problems) - MAX_PROBLEMS, "more mismatch")
        problems = [*problems[:MAX_PROBLEMS], Problem(more, "none", str(file))]
    if problems:
        raise InputError(problems=problems)


def _wrong_forms(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], file: str) -> Iterator[Problem]:
    """Yield the differences between `found` and `expected` in names, shapes and dtypes, by name."""
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            yield Problem("no such tensor", _form(expected[name]), file, field=name)
        elif name not in expected:
            yield Problem(_form(found[name]), "no tensor of this name", file, field=name)
        elif found[name].shape != expected[name].shape or found[name].dtype != expected[name].dtype:
            yield Problem(_form(found[name]), _form(expected[name]), file, field=name)


def _is_finite(tensor: Tensor) -> bool:
    """Return whether every value is finite. The sum is usually enough, at a tenth of the cost of checking each value."""
    return bool(torch.isfinite(tensor.sum())) or bool(torch.isfinite(tensor).all())


def _form(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} of {str(tensor.dtype).removeprefix('torch.')}"

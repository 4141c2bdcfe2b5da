"""A text as windows of one image each, for its likelihood given a context."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from jitkit.errors import InputError, counted
from jitkit.pipeline import Pipeline


@dataclass(frozen=True)
class Windows:
    """The windows of one text. The tokens that are not known are those of the text, each exactly once, and padding."""

    tokens: Tensor  # [N, L] int64
    known: Tensor  # [N, L] bool


def windows_of(pipeline: Pipeline, context: str, text: str, field: str | None = None) -> Windows:
    """Return the windows of a text given a context, of which as many of the last tokens are used as fit.

    Windows follow each other without overlap, and the context fills up the first one. The text ends with eos and
    padding if there is room. A model trained with `train.pack` has hardly seen padding: its last window then overlaps
    the one before, and less than a whole image raises InputError about `field`. An empty text has no windows.
    """
    kept = context.rstrip()  # as in the harness: words begin with their space
    given, ids = pipeline.tokenizer.encode(kept), pipeline.tokenizer.encode(context[len(kept) :] + text)
    length = pipeline.codec.capacity
    if not ids:
        return Windows(torch.zeros(0, length, dtype=torch.long), torch.zeros(0, length, dtype=torch.bool))
    room = -len(ids) % length
    given = given[max(0, len(given) - room) :]
    ids = given + ids
    if not pipeline.manifest.train.pack:
        ids += [pipeline.tokenizer.eos_id] * (len(ids) % length > 0)
        ids += [pipeline.tokenizer.pad_id] * (-len(ids) % length)
    elif len(ids) < length:
        found, hint = f"a text of {counted(len(ids), 'token')}", "The model was trained without padding (train.pack)."
        raise InputError(found, f"at least {length}, a whole image", file=pipeline.manifest.id, field=field, hint=hint)
    starts = [min(start, len(ids) - length) for start in range(0, len(ids), length)]
    firsts = [
        len(given),
        *(start + length for start in starts[:-1]),
    ]  # the first token that no window before has scored
    tokens = torch.tensor([ids[start : start + length] for start in starts])
    known = torch.tensor(starts)[:, None] + torch.arange(length) < torch.tensor(firsts)[:, None]
    return Windows(tokens, known)

"""What lm-evaluation-harness passes as dictionaries: the arguments of the model, and the options of a generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from jitkit.api.model import BATCH_SIZE, MAX_SEED
from jitkit.api.score import NUM_DRAWS
from jitkit.errors import UsageError, did_you_mean, shown

FIELD = "model_args"
MAX_TOKENS = 256  # of a generation, unless the task has its own number
MAX_TOKENS_NAMES = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")  # the first one wins
LEAST = {"batch_size": 1, "seed": 0, "steps": 1, "draws": 1}


class ModelArguments(NamedTuple):
    """The arguments of the model."""

    path: str
    device: str = "auto"
    batch_size: int = BATCH_SIZE
    seed: int = 0
    steps: int | None = None  # of the sampler
    draws: int = NUM_DRAWS  # estimates of the likelihood bound, which are averaged

    @classmethod
    def parse(cls, arguments: Mapping[str, Any]) -> Self:
        """Return the arguments, with defaults for None. Raises UsageError for a missing, unknown, or invalid one."""
        given = {name: value for name, value in arguments.items() if value is not None}
        largest = given.pop("max_batch_size", BATCH_SIZE)  # of the harness, for --batch_size auto
        if str(given.get("batch_size", "")).startswith("auto"):
            given["batch_size"] = largest
        for name in sorted(given.keys() - set(cls._fields)):
            expected, hint = f"one of {', '.join(cls._fields)}", did_you_mean(name, cls._fields)
            raise UsageError(shown(name), expected, field=FIELD, hint=hint)
        if not given.get("path"):
            hint = "Example: --model_args path=run/jit-nano"
            raise UsageError("no path", "a checkpoint, a folder, or a zoo id", field=FIELD, hint=hint)
        for name in LEAST.keys() & given.keys():
            given[name] = _integer(given[name], LEAST[name], f"{FIELD}: {name}")
        return cls(**{**given, "path": str(given["path"])})


class GenerationOptions(NamedTuple):
    """The options of one `generate_until` request."""

    until: Sequence[str]
    max_tokens: int
    ignored: Sequence[str]  # names of options that change nothing, because the model's own sampler generates

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> Self:
        """Return the options of a task. Raises UsageError for an invalid one."""
        until = options.get("until") or []
        until = [until] if isinstance(until, str) else until
        lengths = [options[name] for name in MAX_TOKENS_NAMES if options.get(name) is not None]
        max_tokens = _integer(lengths[0] if lengths else MAX_TOKENS, 0, "max_gen_toks")
        ignored = [name for name, value in options.items() if value and name not in ("until", *MAX_TOKENS_NAMES)]
        return cls([stop for stop in until if stop], max_tokens, ignored)


def _integer(value: Any, least: int, field: str) -> int:
    """Return the integer in an argument, which may be text. Raises UsageError if it is not one from `least` on."""
    if not str(value).isdecimal() or not least <= int(value) <= MAX_SEED:
        raise UsageError(shown(value), f"an integer, {least} or more", field=field)
    return int(value)

"""`jitkit lm-eval`: lm-evaluation-harness with jitkit models."""

from __future__ import annotations

import sys
import traceback
from typing import Annotated

import typer

from jitkit.errors import InputError, JitkitError, ResourceError, UsageError, first_line, ran_out_of_memory, shortened

DEFAULTS = ("--model", "jitkit", "--batch_size", "auto", "--device", "auto")  # options after them win


def lm_eval(
    arguments: Annotated[
        list[str],
        typer.Argument(metavar="ARGUMENT", help="Options of lm_eval, or its command `ls` or `validate` with options."),
    ],
) -> None:
    """Evaluate a model on tasks of lm-evaluation-harness (extra: lm-eval).

    The options are those of lm_eval. `--model_args` has path=MODEL, and optionally device, batch_size,
    seed, steps (of the sampler), and draws (of the likelihood bound), separated by commas.

    Example: jitkit lm-eval --model_args path=run/jit-nano --tasks wikitext --limit 8
    """
    from jitkit.harness import register

    register()
    from lm_eval.__main__ import cli_evaluate

    has_defaults = arguments[0].startswith("-") and not {"-C", "--config"} & set(arguments)
    sys.argv = ["lm_eval", *(DEFAULTS if has_defaults else ()), *arguments]
    try:
        cli_evaluate()
    except Exception as error:
        if (reported := _error_of_harness(error)) is None:
            raise
        raise reported from error


def _error_of_harness(error: Exception) -> JitkitError | None:
    """Return what a user sees of an exception that the harness raises; None if jitkit has raised it."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    if frame.f_globals["__name__"].startswith(("jitkit.", "jitkit_plugins.")) or ran_out_of_memory(error):
        return None
    kind: type[JitkitError] = InputError
    if isinstance(error, ImportError | ConnectionError):
        kind = ResourceError
    elif isinstance(error, ValueError | KeyError):
        kind = UsageError
    reason = shortened(first_line(error), 300)
    hint = "`jitkit --debug lm-eval ...` shows where."
    return kind(f"{type(error).__name__}: {reason}", "a task that lm-eval can run", field="lm-eval", hint=hint)

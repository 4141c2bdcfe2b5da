"""The arguments that lm-evaluation-harness passes."""

from __future__ import annotations

import pytest

from jitkit.errors import UsageError
from jitkit.harness.arguments import GenerationOptions, ModelArguments


def test_defaults() -> None:
    assert ModelArguments.parse({"path": "x", "device": None}) == ModelArguments("x", "auto", 16, 0, None, 8)
    assert ModelArguments.parse({"path": "x", "batch_size": "auto", "max_batch_size": 4}).batch_size == 4
    assert ModelArguments.parse({"path": "x", "batch_size": "3"}).batch_size == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"path": "x", "step": 3}, "model_args: found 'step'; expected one of .*Did you mean steps"),
        ({"seed": 3}, "model_args: found no path"),
        ({"path": "x", "steps": 0}, "model_args: steps: found 0; expected an integer, 1 or more"),
        ({"path": "x", "seed": 1.5}, "model_args: seed: found 1.5"),
        ({"path": "x", "draws": True}, "model_args: draws: found True"),
        ({"path": "x", "batch_size": "many"}, "model_args: batch_size: found 'many'"),
    ],
)
def test_invalid_arguments(arguments, message) -> None:
    with pytest.raises(UsageError, match=message):
        ModelArguments.parse(arguments)


def test_options_of_a_generation() -> None:
    assert GenerationOptions.parse({}) == ([], 256, [])
    options = {"until": ["a", ""], "max_new_tokens": 7, "max_gen_toks": 5, "do_sample": False, "temperature": 0.0}
    assert GenerationOptions.parse(options) == (["a"], 5, [])
    assert GenerationOptions.parse({"until": "\n", "top_p": 0.9}) == (["\n"], 256, ["top_p"])
    with pytest.raises(UsageError, match="max_gen_toks: found -1"):
        GenerationOptions.parse({"max_gen_toks": -1})

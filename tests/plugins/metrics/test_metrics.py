"""The built-in metrics pass the conformance tests and have known values on known models."""

from dataclasses import replace

import pytest
import torch

from jitkit.errors import InputError
from jitkit.evaluation.context import CannotMeasureError
from jitkit.testing import parametrize_conformance
from jitkit.testing.oracle import oracle_context, tiny_pipeline, tiny_windows
from jitkit_plugins.metrics.codec import CodecRoundTrip
from jitkit_plugins.metrics.infill_recovery import InfillRecovery
from jitkit_plugins.metrics.ode_likelihood import OdeLikelihood
from jitkit_plugins.metrics.recovery import Reconstruction
from jitkit_plugins.metrics.script_errors import ScriptErrors
from jitkit_plugins.metrics.step_recovery import StepRecovery
from jitkit_plugins.metrics.text_recovery import TextRecovery
from jitkit_plugins.metrics.token_recovery import TokenRecovery
from jitkit_plugins.metrics.validation import Validation
from jitkit_plugins.objectives.flow import Flow


@parametrize_conformance(
    "metrics",
    CodecRoundTrip(),
    InfillRecovery(),
    OdeLikelihood(steps=4),
    ScriptErrors(),
    StepRecovery(),
    TextRecovery(),
    TokenRecovery(),
    Validation(),
)
def test_conformance(conformance_test):
    conformance_test()


def test_a_model_that_memorized_the_windows_is_perfect():
    context = oracle_context(tiny_windows())
    assert CodecRoundTrip().measure(context) == {"round_trip_accuracy": 1.0}
    for row in TokenRecovery().measure(context):
        assert row["one_step"] == row["sampled"] == 1.0
    for row in TextRecovery().measure(context):
        assert (row["exact"], row["cer"]) == (1.0, 0.0)
    assert Validation().measure(context)["loss"] < 0.1


def test_a_model_that_memorized_other_windows_recovers_nothing():
    windows = tiny_windows()
    context = oracle_context(windows, remembered=windows - 32)  # in capitals: each token is wrong in one bit
    for row in TokenRecovery().measure(context):
        assert row["one_step"] == row["sampled"] == 0.0
    for row in TextRecovery().measure(context):
        assert row["exact"] == 0.0
        assert row["cer"] == 1.0
    assert Validation().measure(context)["loss"] > 1.0


def test_the_context_free_baseline_does_not_depend_on_the_network():
    windows = tiny_windows()
    baselines = [
        [row["contextless"] for row in TokenRecovery().measure(oracle_context(windows, remembered=remembered))]
        for remembered in (windows, windows ^ 1)
    ]
    assert baselines[0] == baselines[1]
    assert baselines[0][0] < 0.1  # at t = 0.3 single bits drown in noise
    assert baselines[0][1] > 0.9


def context_that_recovers(text: str, recovered: str):
    """Return a context of one window with the given reconstruction."""
    pipeline = tiny_pipeline()
    return context_with(tokens_of(pipeline, text), tokens_of(pipeline, recovered))


def context_with(window, recovered):
    context = replace(oracle_context(window), times=(0.5,))
    context.shared("reconstructions", lambda: (Reconstruction(0.5, recovered, recovered, recovered),))
    return context


def tokens_of(pipeline, text):
    ids = [id for part in text.split("|") for id in [*pipeline.tokenizer.encode(part), pipeline.tokenizer.eos_id]][:-1]
    ids += [pipeline.tokenizer.pad_id] * (pipeline.codec.capacity - len(ids))
    return torch.tensor([ids])


@pytest.mark.parametrize(
    ("text", "recovered", "exact", "cer"),
    [
        ("abcd", "abcd", 1.0, 0.0),
        ("abcd", "abxd", 0.0, 1 / 4),
        ("ab|cd", "ab|cd", 1.0, 0.0),
        ("ab|cd", "abcd", 0.0, 1 / 5),  # a lost end of document is one character
        ("ab|cd", "ab|xx", 0.0, 2 / 5),  # what follows the end of a document counts as well
        ("中文", "中女", 0.0, 1 / 2),  # characters, not bytes
        ("e\u0301", "\u00e9", 0.0, 0.0),  # one character, two encodings: different bytes, but no edit
        ("ab", "abcdef", 0.0, 2.0),  # more insertions than characters
    ],
)
def test_character_error_rate(text, recovered, exact, cer):
    (row,) = TextRecovery().measure(context_that_recovers(text, recovered))
    assert (row["t"], row["exact"], row["cer"], row["invalid"]) == (0.5, exact, cer, 0.0)
    assert row["exact_high"] - row["exact_low"] > 0.5  # one window is little evidence


def test_padding_is_not_scored():
    pipeline = tiny_pipeline()
    context = context_that_recovers("abcd", "abxd")
    (row,) = TokenRecovery().measure(context)
    assert row["one_step"] == 3 / 4  # of the four letters; the recovered padding does not count
    padding = torch.full((1, pipeline.codec.capacity), pipeline.tokenizer.pad_id)
    with pytest.raises(InputError, match="nothing but padding"):
        TokenRecovery().measure(oracle_context(padding))
    with pytest.raises(InputError, match="without a character"):
        TextRecovery().measure(oracle_context(padding))


# ------------------------------------------------------------------------------------ scripts, steps, hidden tokens


@pytest.mark.parametrize(
    ("text", "recovered", "latin", "cjk", "common"),
    [
        ("ab中文.", "xb中文.", 1 / 2, 0.0, 0.0),
        ("ab中文.", "ab中.", 0.0, 1 / 2, 0.0),
        ("ab中文.", "ab中文中!", 0.0, 1 / 2, 1.0),  # an insertion counts for the character before it
    ],
)
def test_errors_are_counted_by_script(text, recovered, latin, cjk, common):
    (row,) = ScriptErrors().measure(context_that_recovers(text, recovered))
    assert (row["latin"], row["cjk"], row["common"]) == (latin, cjk, common)


def test_invalid_utf8_is_counted():
    pipeline = tiny_pipeline()
    window = tokens_of(pipeline, "abcd")
    broken = window.clone()
    broken[0, 1] = 0xFF
    (row,) = TextRecovery().measure(context_with(window, broken))
    assert pipeline.tokenizer.decode_bytes([0xFF]) == b"\xff"
    assert row["invalid"] == 1.0


def test_one_step_equals_one_step_recovery():
    context = oracle_context(tiny_windows(), remembered=tiny_windows(64))
    context = replace(context, times=(0.05, 0.3))
    rows, single = StepRecovery().measure(context), TokenRecovery().measure(context)
    assert [row["steps_1"] for row in rows] == [row["one_step"] for row in single]
    assert [row["contextless"] for row in rows] == [row["contextless"] for row in single]
    assert rows[0]["steps_8"] != rows[0]["steps_1"]


def test_a_model_that_memorized_the_windows_fills_in_more_than_the_baselines():
    for row in InfillRecovery().measure(oracle_context(tiny_windows())):
        assert row["filled"] == 1.0
        assert row["contextless"] < 0.5
        assert row["bigram"] < 0.5


def test_hidden_tokens_are_hidden_from_the_model():
    windows = tiny_windows()
    for row in InfillRecovery().measure(oracle_context(windows, remembered=windows - 32)):  # in capitals
        assert row["filled"] == 0.0


def test_masks_have_the_given_shares_and_hide_no_padding():
    windows = torch.cat([tiny_windows(3), tokens_of(tiny_pipeline(), "ab")])
    length = windows.shape[1]
    rows = {row["hidden"]: row for row in InfillRecovery().measure(oracle_context(windows))}
    assert rows["second half"]["tokens"] == 3 * (length - length // 2)
    assert 3 * round(0.15 * length) <= rows["15 %"]["tokens"] <= 3 * round(0.15 * length) + 2


def test_a_model_without_conditioning_cannot_fill_in():
    context = oracle_context(tiny_windows())
    denoiser = replace(context.pipeline.denoiser, objective=Flow())
    with pytest.raises(CannotMeasureError, match="without known pixels"):
        InfillRecovery().measure(replace(context, pipeline=replace(context.pipeline, denoiser=denoiser)))


def test_without_training_text_there_is_no_bigram_column():
    (row, *_) = TokenRecovery().measure(replace(oracle_context(tiny_windows()), documents=None))
    assert "bigram" not in row
    assert row["contextless_low"] <= row["contextless"] <= row["contextless_high"]

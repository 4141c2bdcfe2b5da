"""The built-in metrics keep the laws of metrics, and say what is known of models that are known."""

from dataclasses import replace

import pytest
import torch

from jitkit.errors import InputError
from jitkit.evaluation.recovery import Reconstruction
from jitkit.testing import parametrize_laws
from jitkit.testing.oracle import oracle_subject, tiny_pipeline, tiny_windows
from jitkit_plugins.metrics.codec import CodecRoundTrip
from jitkit_plugins.metrics.text_recovery import TextRecovery
from jitkit_plugins.metrics.token_recovery import TokenRecovery
from jitkit_plugins.metrics.validation import Validation


@parametrize_laws("metrics", CodecRoundTrip(), TextRecovery(), TokenRecovery(), Validation())
def test_laws(law):
    law()


def test_a_model_that_remembers_everything_is_perfect():
    subject = oracle_subject(tiny_windows())
    assert CodecRoundTrip().measure(subject) == {"round_trip_accuracy": 1.0}
    for row in TokenRecovery().measure(subject):
        assert row["one_step"] == row["sampled"] == 1.0
    for row in TextRecovery().measure(subject):
        assert (row["exact"], row["cer"]) == (1.0, 0.0)
    assert Validation().measure(subject)["loss"] < 0.1


def test_a_model_that_remembers_something_else_recovers_nothing():
    windows = tiny_windows()
    subject = oracle_subject(windows, remembered=windows - 32)  # in capitals: each token is wrong in one bit
    for row in TokenRecovery().measure(subject):
        assert row["one_step"] == row["sampled"] == 0.0
    for row in TextRecovery().measure(subject):
        assert row["exact"] == 0.0
        assert row["cer"] == 1.0
    assert Validation().measure(subject)["loss"] > 1.0


def test_the_contextless_line_asks_no_network():
    windows = tiny_windows()
    lines = [
        [row["contextless"] for row in TokenRecovery().measure(oracle_subject(windows, remembered=remembered))]
        for remembered in (windows, windows ^ 1)
    ]
    assert lines[0] == lines[1]
    assert lines[0][0] < 0.1  # at t = 0.3 single bits drown in noise
    assert lines[0][1] > 0.9


def subject_that_recovers(text: str, recovered: str):
    """Return a subject of one window whose sampled reconstruction is given."""
    pipeline = tiny_pipeline()
    window, sampled = (tokens_of(pipeline, words) for words in (text, recovered))
    subject = replace(oracle_subject(window), times=(0.5,))
    subject.__dict__["reconstructions"] = (Reconstruction(0.5, sampled, sampled, sampled),)
    return subject


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
        ("e\u0301", "\u00e9", 0.0, 0.0),  # one character in two spellings: other bytes, but no edit
        ("ab", "abcdef", 0.0, 2.0),  # more was put in than was there
    ],
)
def test_character_error_rate(text, recovered, exact, cer):
    (row,) = TextRecovery().measure(subject_that_recovers(text, recovered))
    assert row == {"t": 0.5, "exact": exact, "cer": cer}


def test_padding_is_not_text():
    pipeline = tiny_pipeline()
    subject = subject_that_recovers("abcd", "abxd")
    (row,) = TokenRecovery().measure(subject)
    assert row["one_step"] == 3 / 4  # of the four letters; the padding after them came back too
    padding = torch.full((1, pipeline.codec.capacity), pipeline.tokenizer.pad_id)
    with pytest.raises(InputError, match="nothing but padding"):
        TokenRecovery().measure(oracle_subject(padding))
    with pytest.raises(InputError, match="without a character"):
        TextRecovery().measure(oracle_subject(padding))

"""Bits of whole windows per token, per character, and per byte."""

import math
from dataclasses import replace

import pytest
import torch

from jitkit.errors import InputError
from jitkit.testing.oracle import oracle_context, tiny_pipeline, tiny_windows
from jitkit_plugins.metrics.likelihood import Likelihood
from jitkit_plugins.objectives.codeword import Codeword


def test_terms_sum_to_the_bound_and_beat_a_uniform_guess():
    windows = tiny_windows(4)
    rows = {row["part"]: row for row in Likelihood().measure(oracle_context(windows, remembered=tiny_windows(64)))}
    assert list(rows) == ["bound", "diffusion", "reconstruction", "uniform guess"]
    for key in ("bits_per_token", "bits_per_character", "bits_per_byte"):
        assert rows["bound"][key] == pytest.approx(rows["diffusion"][key] + rows["reconstruction"][key])
        assert rows["bound"][f"{key}_low"] < rows["bound"][key] < rows["bound"][f"{key}_high"]
        assert rows["bound"][key] < rows["uniform guess"][key]
    assert rows["uniform guess"]["bits_per_token"] == pytest.approx(math.log2(tiny_pipeline().codec.vocab_size))


def test_units_follow_the_text():
    """中文ab: 8 bytes, 4 characters, 9 tokens with its eos; the bits include the padding, the sizes do not."""
    windows = tiny_pipeline().tokens_of("中文ab")[None]
    context = unpacked(oracle_context(windows, remembered=tiny_windows()))  # a wrong model, so the bits are not zero
    bound, *_, uniform = Likelihood(num_times=2).measure(context)
    assert bound["bits_per_token"] * 9 == pytest.approx(bound["bits_per_byte"] * 8)
    assert bound["bits_per_character"] * 4 == pytest.approx(bound["bits_per_byte"] * 8)
    whole = windows.shape[1] * math.log2(tiny_pipeline().codec.vocab_size)
    assert uniform["bits_per_byte"] * 8 == pytest.approx(whole)
    assert "bits_per_byte_low" not in bound  # no interval for a single window


class NoContext(torch.nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.channels = channels

    def forward(self, z, t, **inputs):
        return z.new_zeros(len(z), self.channels, *z.shape[2:])


def test_settings_of_sampling_do_not_change_it():
    found = []
    for objective in (Codeword(), Codeword(temperature=0.3, top_p=0.5, evidence=0.2)):
        context = oracle_context(tiny_windows(3), remembered=tiny_windows(3))
        network = NoContext(objective.channels(context.pipeline.codec))
        denoiser = replace(context.pipeline.denoiser, network=network, objective=objective)
        found.append(
            Likelihood(num_times=2).measure(replace(context, pipeline=replace(context.pipeline, denoiser=denoiser)))
        )
    assert found[0] == found[1]
    assert found[0][0]["bits_per_token"] > 0


def unpacked(context):
    """Return the context with a model trained on padding."""
    train = context.pipeline.manifest.train.model_copy(update={"pack": False})
    manifest = context.pipeline.manifest.model_copy(update={"train": train})
    return replace(context, pipeline=replace(context.pipeline, manifest=manifest))


def test_windows_with_padding_are_left_out_for_a_model_trained_with_packing():
    full = tiny_windows(3)
    padded = torch.cat([full, tiny_pipeline().tokens_of("the end")[None]])
    expected = Likelihood().measure(oracle_context(full, remembered=full))
    assert Likelihood().measure(oracle_context(padded, remembered=full)) == expected
    assert Likelihood().measure(unpacked(oracle_context(padded, remembered=full))) != expected


def test_characters_cut_by_windows_are_counted_once():
    ids = list(("中文" * 20).encode())[: 2 * tiny_windows().shape[1]]
    windows = torch.tensor(ids).view(2, -1)
    row = Likelihood(num_times=1).measure(oracle_context(windows, remembered=tiny_windows()))[0]
    begun = sum(byte & 0xC0 != 0x80 for byte in ids)
    assert row["bits_per_character"] * begun == pytest.approx(row["bits_per_byte"] * len(ids))


def test_padding_alone_is_an_error():
    with pytest.raises(InputError, match="without a character"):
        Likelihood().measure(oracle_context(torch.full_like(tiny_windows(2), tiny_pipeline().tokenizer.pad_id)))

"""GPT-2 metrics follow their definitions, and missing parts raise one-line errors."""

import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from jitkit.errors import ResourceError
from jitkit.evaluation.context import CannotMeasureError
from jitkit.generated import Generated
from jitkit.storage.picture import Picture
from jitkit.testing.oracle import oracle_context, tiny_windows
from jitkit_plugins.metrics.gen_ppl import GenPpl
from jitkit_plugins.metrics.gpt2 import HUB, load_gpt2, write_tiny_gpt2
from jitkit_plugins.metrics.mauve import Mauve
from tests.extras import need

pytestmark = pytest.mark.slow  # importing transformers takes seconds

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path):
    """A folder with a tiny byte-level GPT-2."""
    need("transformers")
    return write_tiny_gpt2(tmp_path)


def with_weights(folder, change):
    weights = {name: change(name, tensor) for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file({name: each for name, each in weights.items() if each is not None}, folder / "model.safetensors")


def context_with_samples(tokens, held_out=None):
    context = oracle_context(tiny_windows() if held_out is None else held_out)
    made = [Generated("", seed, row, torch.empty(0), len(row), Picture(row)) for seed, row in enumerate(tokens)]
    context.shared("samples", lambda: tuple(made))
    return context


def test_the_perplexity_of_a_uniform_model_is_its_vocabulary_size(folder):
    with_weights(folder, lambda name, tensor: torch.zeros_like(tensor))
    for row in GenPpl(model=str(folder)).measure(oracle_context(tiny_windows())):
        assert row["gen_ppl"] == pytest.approx(257)
        assert row["gen_ppl_low"] == pytest.approx(row["gen_ppl_high"])


def test_nats_are_conditional_on_the_tokens_before(folder):
    gpt2 = load_gpt2(str(folder), CPU, "gen_ppl")
    ids = gpt2.ids("it was", ended=True)
    assert ids.tolist()[-1] == 256
    expected = [
        -gpt2.network(ids[None, :place]).logits[0, -1].log_softmax(0)[ids[place]].item() for place in range(1, len(ids))
    ]
    assert gpt2.nats(ids).tolist() == pytest.approx(expected, rel=1e-5)


def test_a_text_is_cut_at_its_end_and_at_the_maximum_length(folder):
    gpt2 = load_gpt2(str(folder), CPU, "gen_ppl")
    assert len(gpt2.ids("abc", ended=False)) == 3
    assert len(gpt2.ids("abc", ended=True)) == 4
    assert len(gpt2.ids("a" * 99, ended=True)) == 64
    eos, windows = 256, tiny_windows(2)
    windows[0, 3:] = eos
    model, *_ = GenPpl(model=str(folder)).measure(context_with_samples(windows))
    assert model["gpt2_tokens"] == (4 + min(64, windows.shape[1])) / 2
    assert model["judge_parameters"] == gpt2.num_parameters


def test_all_tokens_have_equal_weight(folder):
    gpt2, windows = load_gpt2(str(folder), CPU, "gen_ppl"), tiny_windows(3)
    windows[0, 5:] = 256
    model, *_ = GenPpl(model=str(folder)).measure(context_with_samples(windows))
    texts = ["".join(map(chr, row)).split("\u0100")[0] for row in windows.tolist()]
    nats = torch.cat([gpt2.nats(gpt2.ids(text, ended=len(text) < 9)) for text in texts])
    assert model["gen_ppl"] == pytest.approx(nats.mean().exp().item())
    assert model["gen_ppl_low"] < model["gen_ppl"] < model["gen_ppl_high"]


def test_mauve_is_high_for_real_texts_and_low_for_a_repeated_one(folder, capfd):
    need("mauve")
    windows = tiny_windows(40)
    windows[20:] -= 32  # capitals
    context = context_with_samples(torch.cat([windows[:39], windows[38:39]]), windows)
    model, *baselines = Mauve(model=str(folder)).measure(context)
    assert [row["text"] for row in baselines] == ["shuffled words", "unigram", "6-gram", "periodic"]
    repeated, *_ = Mauve(model=str(folder)).measure(context_with_samples(windows[:1].expand(40, -1), windows))
    assert repeated["mauve"] < 0.5
    assert model["mauve"] > 0.9
    assert capfd.readouterr().err == ""
    context = replace(oracle_context(tiny_windows(20)), num_windows=4)
    assert Mauve(model=str(folder)).measure(context)[-1]["text"] == "other held-out"


@pytest.mark.parametrize("metric", [GenPpl, Mauve])
def test_missing_parts_raise_one_line_errors(metric, folder, tmp_path, monkeypatch):
    need("mauve")
    context, name = oracle_context(tiny_windows()), metric.name
    with pytest.raises(
        CannotMeasureError, match=rf"{name}: found no GPT-2 in .*; expected .*{HUB}, or set JITKIT_GPT2"
    ) as error:
        metric(model=str(tmp_path / "nowhere")).measure(context)
    assert "\n" not in str(error.value)
    monkeypatch.setenv("JITKIT_GPT2", str(folder))
    assert metric().measure(context)
    with_weights(folder, lambda name, tensor: None if name.endswith("0.attn.c_attn.weight") else tensor)
    load_gpt2.cache_clear()
    with pytest.raises(CannotMeasureError, match=r"without transformer\.h\.0\.attn\.c_attn\.weight"):
        metric().measure(context)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(CannotMeasureError, match=r"no package transformers.*jitkit\[(gen-ppl|mauve)\]"):
        metric(model="elsewhere").measure(context)
    monkeypatch.setitem(sys.modules, "mauve", None)
    with pytest.raises(CannotMeasureError, match="no package") as missing:
        metric(model="elsewhere").measure(context)
    assert missing.value.exit_code == ResourceError.exit_code

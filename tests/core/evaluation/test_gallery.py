"""What pages show of a model's texts is what its walk said."""

import pytest
import torch

from jitkit.documents.provenance import Provenance
from jitkit.evaluation.gallery import make_gallery
from jitkit.pictures.recorder import Recorder
from jitkit.testing.oracle import oracle_subject, tiny_windows

ORIGIN = Provenance(command="", machine="", versions={}, manifest="")


def test_confidence_is_the_share_of_moments_at_which_a_letter_was_seen():
    """Of a model that has many texts in mind, letters settle at different times."""
    context = oracle_subject(tiny_windows(64))
    pipeline = context.pipeline
    gallery = make_gallery(pipeline, context.windows, ORIGIN, step=0, num_texts=2, num_films=1, steps=6)
    moments, every = [], []
    results = pipeline.generate(range(2), steps=6, sampler=Recorder(pipeline.sampler, moments.append))
    reads = torch.stack([pipeline.codec.decode(moment.estimate) for moment in moments])
    for index, (sample, result) in enumerate(zip(gallery.samples, results, strict=True)):
        seen = (reads[:-1, index] == result.tokens).double().mean(0)
        shares = [piece.share for piece in sample.pieces for _ in piece.text]
        assert shares == pytest.approx(seen.tolist(), abs=1e-4)
        every += shares
    assert len(set(every)) > 1, "all letters settled at once: nothing is tested"
    assert [len(sample.frames) > 0 for sample in gallery.samples] == [True, False]
    film = gallery.samples[0].frames
    assert all(piece.share == 1 for piece in film[-1].pieces)
    assert "".join(piece.text for piece in film[-1].pieces) == results[0].text
    assert any(piece.share == 0 for piece in film[0].pieces)

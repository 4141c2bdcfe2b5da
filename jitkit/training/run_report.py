"""`report.html` and `gallery.json` of a run, rewritten after each validation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from jitkit.documents.document import provenance, write_document
from jitkit.documents.schemas import Gallery
from jitkit.evaluation.context import eval_mode
from jitkit.evaluation.gallery import make_gallery
from jitkit.execution.device import describe_machine
from jitkit.pipeline import Pipeline
from jitkit.report.run_page import write_page
from jitkit.report.run_record import GALLERY, read_run
from jitkit.training.state import RunMetadata

NUM_SAMPLES, NUM_FILMS, MAX_STEPS = 3, 1, 24  # fewer images through the network than a validation takes


def write_report(
    folder: Path, pipeline: Pipeline, metadata: RunMetadata, step: int, on_step: Callable[[], None]
) -> Gallery:
    """Write the losses of a run and a few samples of its current weights, and return the samples.

    The noise is the same each time. `on_step` is called at each sampling step and may raise.
    """
    with eval_mode(pipeline.denoiser.network):
        gallery = make_gallery(
            pipeline,
            metadata.validation_tokens,
            provenance(
                metadata.manifest,
                metadata.versions,
                describe_machine(pipeline.device),
                trained=metadata.data,
                validation_windows=len(metadata.validation_tokens),
            ),
            step=step,
            num_samples=NUM_SAMPLES,
            num_films=NUM_FILMS,
            steps=min(pipeline.sampler.steps, MAX_STEPS),
            on_step=on_step,
        )
    write_document(folder / GALLERY, gallery)
    write_page(read_run(folder), folder)
    return gallery

"""The gallery of a model for the pages: samples as images, their trajectories, and the confidence of each character."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from jitkit.codecs.report import SIGMAS, noise_tolerance
from jitkit.diffusion.context_free import accuracy_under_noise
from jitkit.documents.document import Provenance
from jitkit.documents.schemas import CodecFacts, Frame, Gallery, Piece, RealText, Sample, SamplerInfo
from jitkit.evaluation.context import EvaluationContext
from jitkit.evaluation.texts import END, window_bytes
from jitkit.generated import Generated
from jitkit.pictures.recorder import Recorder, Snapshot
from jitkit.pictures.spans import letters
from jitkit.pipeline import Pipeline
from jitkit.storage.png import png_bytes

NUM_REAL = 4
NUM_SAMPLES, NUM_FILMS = 6, 2  # of an evaluated checkpoint
NUM_FRAMES = 6
MAX_TOKENS = 2048  # for the codec's noise curve
VISIBLE_END = "\N{SYMBOL FOR END OF TEXT}"


def make_gallery(
    pipeline: Pipeline,
    windows: Tensor,
    provenance: Provenance,
    *,
    step: int,
    num_samples: int = NUM_SAMPLES,
    num_films: int = NUM_FILMS,
    steps: int,
    on_step: Callable[[], None] = lambda: None,
) -> Gallery:
    """Return a gallery of `num_samples` samples, the first `num_films` with their trajectory, and held-out `windows` [N, L].

    The *confidence* of a token is the share of sampling steps at which the model's estimate already decoded to this
    token; it is not a probability. `on_step` is called after each sampling step.
    """
    snapshots: list[Snapshot] = []

    def record(snapshot: Snapshot) -> None:
        snapshots.append(snapshot)
        on_step()

    results = pipeline.generate(range(num_samples), steps=steps, sampler=Recorder(pipeline.sampler, record))
    decoded = torch.stack([pipeline.codec.decode(snapshot.estimate).cpu() for snapshot in snapshots])  # [steps, N, L]
    return Gallery(
        model=pipeline.manifest.id,
        step=step,
        sampler=SamplerInfo(use=pipeline.manifest.sampler.use, steps=steps),
        real=[_real(pipeline, window) for window in windows[:NUM_REAL]],
        samples=[
            _sample(pipeline, result, decoded[:, i], _frames(pipeline, snapshots, decoded, i) if i < num_films else [])
            for i, result in enumerate(results)
        ],
        codec=_codec(pipeline, windows),
        provenance=provenance,
    )


def gallery_of(context: EvaluationContext, step: int, provenance: Provenance) -> Gallery:
    """Return the gallery of an evaluated model; its samples take as many steps as those of the evaluation."""
    pipeline, steps = context.pipeline, context.num_steps
    advance = partial(context.counter("pictures", steps + 1), 1)
    return make_gallery(pipeline, context.windows, provenance, step=step, steps=steps, on_step=advance)


def _sample(pipeline: Pipeline, result: Generated, decoded: Tensor, frames: list[Frame]) -> Sample:
    confidence = (decoded[:-1] == result.tokens).double().mean(0).clamp(0, 1).nan_to_num(1.0)
    return Sample(
        seed=result.seed,
        ended=bool((result.tokens == pipeline.tokenizer.eos_id).any()),
        pieces=_pieces(pipeline, result.tokens, confidence),
        picture=_picture(pipeline, result.tokens),
        frames=frames,
    )


def _frames(pipeline: Pipeline, snapshots: Sequence[Snapshot], decoded: Tensor, index: int) -> list[Frame]:
    """Return evenly spaced frames of sample number `index`, including the first and the last."""
    places = torch.linspace(0, len(snapshots) - 1, min(len(snapshots), NUM_FRAMES)).round().int().tolist()
    final = decoded[-1, index]
    return [
        Frame(
            t=min(1.0, snapshots[place].t),
            z=_base64(snapshots[place].z[index]),
            x_hat=_base64(snapshots[place].x_hat[index]),
            pieces=_pieces(pipeline, decoded[place, index], (decoded[place, index] == final).double()),
        )
        for place in places
    ]


def _pieces(pipeline: Pipeline, tokens: Tensor, shares: Tensor) -> list[Piece]:
    rounded = [round(share, 4) for share in shares.tolist()]
    return [Piece(text=text, share=share) for text, share in letters(pipeline.tokenizer, tokens.tolist(), rounded)]


def _real(pipeline: Pipeline, window: Tensor) -> RealText:
    text = window_bytes(pipeline.tokenizer, window).decode("utf-8", errors="replace")
    shown = text.removesuffix(END).replace(END, VISIBLE_END)  # the end of an image needs no mark
    return RealText(text=shown, picture=_picture(pipeline, window))


def _codec(pipeline: Pipeline, windows: Tensor) -> CodecFacts:
    codec, generator = pipeline.codec, torch.Generator().manual_seed(0)
    tokens = windows[: max(1, MAX_TOKENS // codec.capacity)]
    return CodecFacts(
        use=pipeline.manifest.codec.use,
        image_size=codec.image_size,
        tokens_per_image=codec.capacity,
        pixels_per_token=codec.pixels_per_token,
        vocab_size=codec.vocab_size,
        margin=codec.margin,
        tolerance=noise_tolerance(codec, tokens),
        noise=[{"sigma": sigma, "accuracy": accuracy_under_noise(codec, sigma, tokens, generator)} for sigma in SIGMAS],
    )


def _picture(pipeline: Pipeline, tokens: Tensor) -> str:
    return _base64(pipeline.codec.encode_bytes(tokens[None])[0])


def _base64(picture: Tensor) -> str:
    return base64.b64encode(png_bytes(picture)).decode()

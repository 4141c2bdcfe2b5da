"""Texts of a model as pages show them: their pictures, the way they came, and how sure the model was of each letter."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from jitkit.diffusion.context_free import accuracy_under_noise
from jitkit.documents.evaluation import SamplerInfo
from jitkit.documents.gallery import CodecFacts, Frame, Gallery, Piece, RealText, Sample
from jitkit.documents.provenance import Provenance
from jitkit.evaluation.codec_report import SIGMAS
from jitkit.evaluation.context import EvaluationContext
from jitkit.evaluation.texts import END_OF_DOCUMENT, window_bytes
from jitkit.pictures.letters import letters
from jitkit.pictures.recorder import Recorder, Snapshot
from jitkit.pipeline import Generated, Pipeline
from jitkit.storage.png import png_bytes

NUM_REAL = 4
NUM_TEXTS, NUM_FILMS = 6, 2  # of a checkpoint's gallery
NUM_FRAMES = 6
MOST_TOKENS = 2048  # that the codec's curve is measured on
END_SHOWN = "\N{SYMBOL FOR END OF TEXT}"


def make_gallery(
    pipeline: Pipeline,
    windows: Tensor,
    origin: Provenance,
    *,
    step: int,
    num_texts: int,
    num_films: int,
    steps: int | None = None,
    seed: int = 0,
    on_step: Callable[[], None] = lambda: None,
) -> Gallery:
    """Return `num_texts` texts from noise, the first `num_films` with the way they came, beside held-out `windows` [N, L].

    The *confidence* of a token is the share of the walk's moments at which the model's estimate already read as this
    token: 1 where it was clear from pure noise on, near 0 where it was settled last. It is no probability. `on_step` is
    called after each step of the walk.
    """
    moments: list[Snapshot] = []

    def on_moment(moment: Snapshot) -> None:
        moments.append(moment)
        on_step()

    steps = steps or pipeline.sampler.steps
    results = pipeline.generate(
        range(seed, seed + num_texts), steps=steps, sampler=Recorder(pipeline.sampler, on_moment)
    )
    reads = torch.stack([pipeline.codec.decode(moment.estimate).cpu() for moment in moments])  # [moments, N, L]
    samples = [
        _sample(
            pipeline, result, reads[:, index], _frames(pipeline, moments, reads, index) if index < num_films else []
        )
        for index, result in enumerate(results)
    ]
    return Gallery(
        model=pipeline.manifest.id,
        step=step,
        sampler=SamplerInfo(use=pipeline.manifest.sampler.use, steps=steps),
        real=[_real(pipeline, window) for window in windows[:NUM_REAL]],
        samples=samples,
        codec=_codec(pipeline, windows),
        provenance=origin,
    )


def gallery_of(context: EvaluationContext, step: int, origin: Provenance) -> Gallery:
    """Return the gallery of what an evaluation measured; its walks are as long as those of the measured texts."""
    steps = context.steps or context.pipeline.sampler.steps
    done = 0

    def on_step() -> None:
        nonlocal done
        done += 1
        context.progress("pictures", done, steps + 1)

    return make_gallery(
        context.pipeline,
        context.windows,
        origin,
        step=step,
        num_texts=NUM_TEXTS,
        num_films=NUM_FILMS,
        steps=steps,
        on_step=on_step,
    )


def _sample(pipeline: Pipeline, result: Generated, reads: Tensor, frames: list[Frame]) -> Sample:
    confidence = (reads[:-1] == result.tokens).double().mean(0).clamp(0, 1).nan_to_num(1.0)
    return Sample(
        seed=result.seed,
        ended=bool((result.tokens == pipeline.tokenizer.eos_id).any()),
        pieces=_pieces(pipeline, result.tokens, confidence),
        picture=_picture(pipeline, result.tokens),
        frames=frames,
    )


def _frames(pipeline: Pipeline, moments: Sequence[Snapshot], reads: Tensor, index: int) -> list[Frame]:
    places = torch.linspace(0, len(moments) - 1, min(len(moments), NUM_FRAMES)).round().int().tolist()
    final = reads[-1, index]
    return [
        Frame(
            t=min(1.0, moments[place].t),
            z=_base64(moments[place].z[index]),
            x_hat=_base64(moments[place].x_hat[index]),
            pieces=_pieces(pipeline, reads[place, index], (reads[place, index] == final).double()),
        )
        for place in places
    ]


def _pieces(pipeline: Pipeline, tokens: Tensor, shares: Tensor) -> list[Piece]:
    pieces = letters(pipeline.tokenizer, tokens.tolist(), [round(share, 4) for share in shares.tolist()])
    return [Piece(text=text, share=share) for text, share in pieces]


def _real(pipeline: Pipeline, window: Tensor) -> RealText:
    text = window_bytes(pipeline.tokenizer, window).decode("utf-8", errors="replace")
    return RealText(text=text.replace(END_OF_DOCUMENT.decode(), END_SHOWN), picture=_picture(pipeline, window))


def _codec(pipeline: Pipeline, windows: Tensor) -> CodecFacts:
    codec, generator = pipeline.codec, torch.Generator().manual_seed(0)
    tokens = windows[: max(1, MOST_TOKENS // codec.capacity)]
    return CodecFacts(
        use=pipeline.manifest.codec.use,
        image_size=codec.image_size,
        tokens_per_image=codec.capacity,
        pixels_per_token=codec.pixels_per_token,
        vocab_size=codec.vocab_size,
        margin=codec.margin,
        noise=[{"sigma": sigma, "accuracy": accuracy_under_noise(codec, sigma, tokens, generator)} for sigma in SIGMAS],
    )


def _picture(pipeline: Pipeline, tokens: Tensor) -> str:
    return _base64(pipeline.codec.encode_bytes(tokens[None])[0])


def _base64(picture: Tensor) -> str:
    return base64.b64encode(png_bytes(picture)).decode()

"""Upper bound on the bits that a model needs to encode held-out text.

A denoiser and a codec define a distribution over texts: start from noise, run the reverse diffusion up to some t_end,
and decode each token there. Its likelihood is intractable, but has a lower bound (Kingma et al. 2021, "Variational
diffusion models", 2107.00630, equations 11 to 18, with time reversed). In nats, for ``x = encode(tokens)``,
``z_t = alpha x + sigma noise``, noise ~ N(0, s^2 I) with s = noise_scale, and every t_end::

    snr(t)         = alpha(t)^2 / (sigma(t) s)^2

    - log p(tokens)  <=  prior + diffusion + reconstruction                                                      (1)

    prior          = KL( q(z_0 | x) || N(0, s^2 I) )
    diffusion      = 1/2 integral from 0 to t_end of snr'(t) E |x - x_hat(z_t, t)|^2 dt
    reconstruction = E [ - log p(tokens | z_end) ]

*Prior* is 0: every schedule has alpha(0) = 0, so z_0 is noise independent of x.

*Diffusion* is a sum of KL divergences between Gaussians of equal variance, ``(snr(t') - snr(t)) |x - x_hat|^2 / 2`` each,
in the limit of infinitely many steps: the reverse step is the forward posterior q(z_t' | z_t, x) with x_hat for x.
For the posterior mean it is the mutual information of x and z_end (Guo, Shamai and Verdu 2005), and (1) is an equality.

*Reconstruction* uses the context-free posterior p(tokens | z_end), a softmax over `token_logits` for each token. t_end is
where that posterior is certain (`MAX_END_BITS`), which depends on codec and schedule only. Before, this term would pay for
tokens that context reveals; after, the integral would pay for errors that no longer change any token.

*Estimate.* The integral over snr, up to S at t_end, uses ``num_times`` values of snr for each window, with density
``1 / ((c + snr) log(1 + S / c))`` and c = min(1, S / 30), dense where the error is large. The values are quantiles of
evenly spaced numbers with one random offset per window (stratified sampling). The estimate is unbiased for any c.

*Pixels with different times* (`PixelSchedule`) have an snr of their own. The integral is over that in the middle of the
text, and the squared error of a pixel counts as often as its snr rises faster. S is reached when the slowest pixel is at
the end, and c when the fastest is there.

Pixels that belong to no token are equal in all images and not counted. With self-conditioning, x_hat is the second pass,
``x_hat(z, t, x_hat(z, t))``, or the fourth one: any function of z and t gives a bound. All positions count, including
padding.

*Given tokens.* (1) also bounds the likelihood of some tokens given the others: the given ones are known pixels of the
denoiser, and both terms count only the others.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from jitkit.component import Component
from jitkit.diffusion.context_free import images_per_batch, per_token, uniform_tokens
from jitkit.diffusion.process import interpolate, levels_at
from jitkit.documents.rows import Measurement, Row
from jitkit.evaluation.context import EvaluationContext
from jitkit.evaluation.intervals import ratio_with_interval
from jitkit.evaluation.noise import draw_noise, window_generators
from jitkit.evaluation.texts import require_characters
from jitkit.protocols import Codec, Levels, NoiseSchedule, PixelSchedule, Tokenizer
from jitkit_plugins.metrics.exact_bits import exact_bits

MAX_END_BITS = 1e-4  # bits per token, for equally likely tokens, that the context-free posterior leaves at t_end
SNR_RATIO = 2**0.25  # between neighbors on the grid of snr that is searched for t_end
MAX_SNR = 1e9
STEP = 1e-5  # relative, of a difference that stands for a derivative
KNEE = 1 / 30  # of S: below this snr, times are even in snr, above it in its logarithm


class Likelihood(Component):
    """Upper bound of the bits that the model needs to encode held-out text (variational, continuous time)."""

    name: ClassVar[str] = "likelihood"
    measures_likelihood: ClassVar[bool] = True

    num_times: Annotated[int, Field(ge=1, description="times at which each window is measured")] = 8

    def measure(self, context: EvaluationContext) -> Measurement:
        """Return `bits_per_token`, `bits_per_character`, `bits_per_byte` of all held-out windows, with their intervals.

        There is a row for the `bound`, one for each of its terms, and one for a uniform guess of every token; with
        self-conditioning also one for the bound of four passes, under the same noise. For stories of a grammar, there is
        one for their `exact` bits, and `excess` is how far a bound is above them. The bits of whole windows, including eos
        and padding, are divided by the size of their text. A model trained with `train.pack` has hardly seen padding, so
        windows with padding are then left out. Raises InputError for windows without a character.
        """
        pipeline, windows = context.pipeline, text_windows(context, context.held_out)
        num_pairs = 2 if pipeline.denoiser.objective.self_conditioning else 1
        bound, *others = likelihood_bounds(context, windows, self.num_times, num_pairs=num_pairs)
        parts = {"bound": bound.bits, **bound._asdict()}
        for four_passes in others:
            parts["bound, four passes"] = four_passes.bits
        parts["uniform guess"] = torch.full_like(bound.bits, math.log2(pipeline.codec.vocab_size) * windows.shape[1])
        return rows_of(context, windows, parts)

    def window_bits(self, context: EvaluationContext, known: Tensor | None = None) -> Tensor:
        """Return the bound of each held-out window in bits, [M] float64.

        With `known` [M, L] bool, it is the bound of the tokens that are not known, given those that are. Requires a
        model that accepts known tokens.
        """
        return likelihood_bounds(context, context.held_out, self.num_times, known)[0].bits


class Bound(NamedTuple):
    """The terms of the bound for each window, in bits, [N] float64 each; the bound is their sum."""

    diffusion: Tensor
    reconstruction: Tensor

    @property
    def bits(self) -> Tensor:
        """The bound [N] float64."""
        return self.diffusion + self.reconstruction


@torch.inference_mode()
def likelihood_bounds(
    context: EvaluationContext, windows: Tensor, num_times: int, known: Tensor | None = None, *, num_pairs: int = 1
) -> list[Bound]:
    """Return the bound (1) for `windows` [N, L] int64 with the seed of the context, given the `known` [N, L] bool.

    With self-conditioning, the first bound takes two passes for each estimate, the next one two more, up to `num_pairs`.
    """
    end = end_snr(context.pipeline.codec)
    advance = context.counter("likelihood", len(windows) * num_times, shared=True)
    columns = [windows] if known is None else [windows, known]
    nats = context.over_batches(
        lambda *rows: _terms(context, *rows, end=end, num_times=num_times, num_pairs=num_pairs, advance=advance),
        *columns,
    )
    *diffusion, reconstruction = (column / math.log(2) for column in nats)
    return [Bound(term, reconstruction) for term in diffusion]


def time_of(snr: Tensor, schedule: NoiseSchedule) -> Tensor:
    """Return the times t [n] float64 at which ``alpha / (sigma noise_scale)`` is the square root of `snr` [n] >= 0."""
    ratio = snr.double().sqrt()
    low, high = torch.zeros_like(ratio), torch.ones_like(ratio)
    for _ in range(60):
        middle = (low + high) / 2
        at = schedule.levels(middle)
        below = at.alpha < ratio * at.sigma * schedule.noise_scale
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


def snr_in_the_middle(schedule: NoiseSchedule, snr: float, pixels: Callable[[Tensor], Tensor]) -> float:
    """Return the snr in the middle of the text as soon as `pixels` (torch.all or torch.any) have this `snr`.

    If all pixels are equal, it is `snr` itself.
    """
    if not isinstance(schedule, PixelSchedule):
        return snr
    low, high = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)
    for _ in range(60):
        t = (low + high) / 2
        at = levels_at(schedule, t)
        reached = pixels(at.alpha >= math.sqrt(snr) * at.sigma * schedule.noise_scale)
        low, high = (low, t) if reached else (t, high)
    middle = schedule.levels(high)
    return float(middle.alpha / middle.sigma / schedule.noise_scale) ** 2


def pace(schedule: NoiseSchedule, t: Tensor) -> Tensor | float:
    """Return how fast the snr of each pixel rises relative to that in the middle of the text, at times `t` [B] in (0, 1).

    `t` is float64: the derivatives are differences.
    """
    if not isinstance(schedule, PixelSchedule):
        return 1.0
    before, after = t - STEP * t * (1 - t), t + STEP * t * (1 - t)
    pixels = _snr(levels_at(schedule, after)) - _snr(levels_at(schedule, before))
    middle = _snr(schedule.levels(after)) - _snr(schedule.levels(before))
    return (pixels / middle[:, None, None, None]).float()


def _snr(at: Levels) -> Tensor:
    """Return the snr, for noise of scale 1."""
    return (at.alpha / at.sigma).square()


def end_snr(codec: Codec) -> float:
    """Return the first snr of a fine grid where the context-free posterior leaves less than `MAX_END_BITS`."""
    generator = torch.Generator().manual_seed(0)
    tokens = uniform_tokens(codec, min(2048, images_per_batch(1, codec.vocab_size)), generator)
    x = codec.encode(tokens)
    noise = torch.randn(x.shape, generator=generator)
    first = 1 / 16 / codec.margin**2  # so noisy that neighboring codewords are indistinguishable

    def is_certain(step: int) -> bool:
        snr = first * SNR_RATIO**step
        sigma = torch.full((len(x),), snr**-0.5)
        nats = context_free_nats(codec, tokens, x + snr**-0.5 * noise, sigma)
        return bool(nats.sum() / tokens.numel() / math.log(2) < MAX_END_BITS)

    steps = range(math.ceil(math.log(max(1, MAX_SNR / first), SNR_RATIO)))
    return float(first * SNR_RATIO ** bisect_left(steps, True, key=is_certain))  # certainty grows with snr


def context_free_nats(codec: Codec, tokens: Tensor, image: Tensor, sigma: Tensor) -> Tensor:
    """Return -log p [B, L] of `tokens` [B, L], each decoded on its own from `image` = x + sigma N(0, I) [B, 3, H, W]."""
    size = images_per_batch(codec.capacity, codec.vocab_size)
    nats = [
        F.cross_entropy(codec.token_logits(y, s).transpose(1, 2), ids, reduction="none")
        for ids, y, s in zip(*(torch.split(whole, size) for whole in (tokens, image, sigma)), strict=True)
    ]
    return torch.cat(nats)


def _terms(
    context: EvaluationContext,
    tokens: Tensor,
    known: Tensor | None = None,
    *,
    end: float,
    num_times: int,
    num_pairs: int,
    advance: Callable[[int], None],
) -> tuple[Tensor, ...]:
    """Return the terms for a batch, in nats, [B] float64 each, on the CPU; the path ends at the snr `end`.

    They are the diffusion term after each of `num_pairs` pairs of passes, and the reconstruction term.
    """
    denoiser, device = context.pipeline.denoiser.as_trained(), context.pipeline.device
    codec, schedule = denoiser.codec, denoiser.schedule
    generators = window_generators(context.seed, tokens, "likelihood")
    offsets = torch.cat([torch.rand(1, generator=generator, dtype=torch.float64) for generator in generators])
    tokens = tokens.to(device)
    x = codec.encode(tokens)
    counted = torch.ones_like(tokens, dtype=torch.bool) if known is None else ~known.to(device)
    mask = codec.pixel_mask(counted).float()
    if known is not None:
        denoiser = denoiser.with_known_pixels(x, codec.pixel_mask(~counted))

    def noised(t: Tensor) -> Tensor:
        noise = draw_noise(generators, codec.image_size, schedule.noise_scale).to(device)
        return interpolate(x, noise, levels_at(schedule, t.to(device)))

    knee = snr_in_the_middle(schedule, min(1.0, KNEE * end), torch.any)
    end = snr_in_the_middle(schedule, end, torch.all)
    length = math.log1p(end / knee)  # of the integral over log(1 + snr / knee)
    diffusion = torch.zeros(num_pairs, len(tokens), dtype=torch.float64)
    for index in range(num_times):
        snr = knee * torch.expm1((index + offsets) / num_times * length)
        times = time_of(snr, schedule)
        t, rise = times.float(), pace(schedule, times.to(device))
        z, x_hat = noised(t), None
        for term in diffusion:
            x_hat = denoiser.self_conditioned(z, t.to(device), x_hat)
            errors = ((mask * (x - x_hat)).square() * rise).flatten(1).sum(1)
            term += errors.cpu().double() / 2 * (knee + snr) * length / num_times
        advance(len(tokens))
    t_end = float(time_of(torch.tensor([end]), schedule)[0])
    ends = torch.full((len(tokens),), t_end, device=device)
    at = levels_at(schedule, ends)
    sigma = per_token(at.sigma * schedule.noise_scale / at.alpha, codec)
    nats = context_free_nats(codec, tokens, noised(ends) / at.alpha, sigma)
    return *diffusion, (nats * counted).sum(1).cpu().double()


def text_windows(context: EvaluationContext, windows: Tensor) -> Tensor:
    """Return the windows [N, L] that resemble training data: with `train.pack`, those without padding.

    Raises InputError if none has a character.
    """
    pipeline = context.pipeline
    if pipeline.manifest.train.pack:
        windows = windows[(windows != pipeline.tokenizer.pad_id).all(1)]
    require_characters(text for _, text in _texts(windows, pipeline.tokenizer))
    return windows


def rows_of(context: EvaluationContext, windows: Tensor, parts: Mapping[str, Tensor]) -> list[Row]:
    """Return a row for each of the `parts`, bits [N] of the `windows`: bits per token, per character, and per byte.

    The first part is the bound. If the true probability of the windows is known, its row has the `excess`, and there is a row
    for the `exact` bits. An eos is a token without characters. Padding does not count. A character that is cut by a
    window's end belongs to the window where it starts.
    """
    texts = _texts(windows, context.pipeline.tokenizer)
    sizes = {
        "bits_per_token": [float(num_tokens) for num_tokens, _ in texts],
        "bits_per_character": [float(sum(byte & 0xC0 != 0x80 for byte in text)) for _, text in texts],
        "bits_per_byte": [float(len(text)) for _, text in texts],
    }
    rows: list[Row] = []
    exact = exact_bits(context, windows)
    known = {} if exact is None else {"exact": exact}
    for name, bits in {**parts, **known}.items():
        figures: dict[str, float | str] = {"part": name}
        for key, size in sizes.items():
            figures |= ratio_with_interval(key, bits.tolist(), size, context.seed)
        if exact is not None and not rows:
            ratios = ratio_with_interval("excess", bits.tolist(), exact.tolist(), context.seed)
            figures |= {key: ratio - 1 for key, ratio in ratios.items()}
        rows.append({**figures, "windows": len(bits)})
    return rows


def _texts(windows: Tensor, tokenizer: Tokenizer) -> list[tuple[int, bytes]]:
    """Return the number of tokens and the text of each window, without padding."""
    ids = [[token for token in row if token != tokenizer.pad_id] for row in windows.tolist()]
    return [(len(row), tokenizer.decode_bytes(row)) for row in ids]

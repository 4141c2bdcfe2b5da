"""A complete model: text to image and back, and texts from noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from jitkit.diffusion.denoiser import Denoiser
from jitkit.diffusion.noise_source import NoiseSource
from jitkit.errors import InputError, UsageError, counted, shown
from jitkit.execution.config import ExecutionConfig
from jitkit.execution.memory_usage import available_memory
from jitkit.execution.precision import require_default_float32
from jitkit.execution.runtime_network import RuntimeNetwork, prepare_network
from jitkit.generated import Generated
from jitkit.infill import fit_template, parse_template, require_one
from jitkit.manifest.schema import Manifest
from jitkit.protocols import Codec, Sampler, Step, Tokenizer
from jitkit.storage.picture import Picture


@dataclass(frozen=True, repr=False)
class KnownTokens:
    """The known part of an image: tokens [L] int64 and a mask [L] bool, true where the token is known.

    Both are [N, L] if N texts have different known parts.
    """

    tokens: Tensor
    mask: Tensor

    def __repr__(self) -> str:
        return f"KnownTokens({int(self.mask.sum())} of {self.mask.numel()})"


@dataclass(repr=False)
class Pipeline:
    """Tokenizer, codec, denoiser and sampler of one model, on one device."""

    manifest: Manifest
    tokenizer: Tokenizer
    codec: Codec
    denoiser: Denoiser
    sampler: Sampler
    device: torch.device
    activation_bound: int  # numbers per image that one layer of the network holds at once, at most

    def __repr__(self) -> str:
        millions = sum(parameter.numel() for parameter in self.network.parameters()) / 1e6
        return f"Pipeline({self.manifest.id}, {millions:.2f} M parameters, {self.device})"

    @property
    def network(self) -> nn.Module:
        """The backbone's own module."""
        network = self.denoiser.network
        return network.network if isinstance(network, RuntimeNetwork) else network

    @property
    def execution(self) -> ExecutionConfig:
        """How the network is run; plainly before `prepared` or `with_network`."""
        network = self.denoiser.network
        return network.execution if isinstance(network, RuntimeNetwork) else ExecutionConfig(self.device)

    def with_network(self, network: nn.Module) -> Pipeline:
        """Return the pipeline with `network`, which may be a `RuntimeNetwork` around the backbone's module."""
        compiled = isinstance(network, RuntimeNetwork) and network.execution.compiled
        return replace(self, denoiser=replace(self.denoiser, network=network, static_shapes=compiled))

    def prepared(self, note: Callable[[str], None], conditions: Mapping[str, str] | None = None) -> Pipeline:
        """Return the pipeline for inference: its network in evaluation mode, run as `ExecutionConfig.for_inference` decides.

        `conditions` are those recorded in training. `note` receives a message if that fails and the network runs plainly instead.
        """

        def trial(network: nn.Module) -> None:
            z = torch.zeros(2, 3, self.codec.image_size, self.codec.image_size, device=self.device)
            with torch.inference_mode():
                self.with_network(network).denoiser(z, torch.zeros((), device=self.device).expand(2))

        execution = ExecutionConfig.for_inference(self.manifest.train, self.device, conditions)
        return self.with_network(prepare_network(self.network.eval(), execution, trial, note)[0])

    @property
    def num_parameters(self) -> int:
        """Number of parameters of the network."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    def files(self) -> dict[str, bytes]:
        """Return the files that a checkpoint must embed: those of the tokenizer and the codec."""
        return {**self.tokenizer.files(), **self.codec.files()}

    def tokens_of(self, text: str) -> Tensor:
        """Return the ids of `text` [L] int64, then eos, then pad. Raises InputError if the text is too long."""
        ids = self.tokenizer.encode(text)
        length = self.codec.capacity
        if len(ids) > length:
            raise InputError(f"{counted(len(ids), 'token')} of text", f"at most {length}, the capacity of an image")
        if len(ids) < length:
            ids = [*ids, self.tokenizer.eos_id]
        return torch.tensor(ids + [self.tokenizer.pad_id] * (length - len(ids)))

    def text_of(self, tokens: Tensor) -> str:
        """Return the text of `tokens` [L] int64, up to the first eos."""
        ids: list[int] = tokens.tolist()
        return self.tokenizer.decode(ids[: self.num_tokens(tokens)])

    def decode(self, images: Tensor) -> Tensor:
        """Return the tokens [N, L] int64, on the CPU, of `images` [N, 3, H, W] that the model has computed.

        Raises InputError if an image is not finite: its tokens would mean nothing.
        """
        if not images.isfinite().all():
            hint = "The weights are damaged, or a setting of the sampler or of [guidance] is too large."
            raise InputError(
                "values that are not finite in a generated image", "finite values", file=self.manifest.id, hint=hint
            )
        return self.codec.decode(images).cpu()

    def num_tokens(self, tokens: Tensor) -> int:
        """Return the number of `tokens` [L] int64 before the first eos."""
        ids, eos = tokens.tolist(), self.tokenizer.eos_id
        return [*ids, eos].index(eos)

    def known_tokens(self, prompt: str | None = None, infill: str | None = None) -> KnownTokens | None:
        """Return the known tokens of a prompt or of an infilling template; None without either.

        Raises UsageError for both and for an invalid template, and InputError for a prompt that does not fit.
        """
        require_one(prompt, infill)
        if infill is None:
            return None if prompt is None else self.prefix(prompt)
        tokens, known = fit_template(parse_template(infill), self.tokenizer, self.codec.capacity)
        return KnownTokens(torch.tensor(tokens), torch.tensor(known))

    def prefix(self, text: str) -> KnownTokens:
        """Return the known tokens of a prompt. Raises InputError for an empty prompt or one that fills the image."""
        ids = self.tokenizer.encode(text)
        length = self.codec.capacity
        if not 0 < len(ids) < length:
            expected = f"1 to {length - 1}; an image holds {length}"
            raise InputError(f"a prompt of {counted(len(ids), 'token')}", expected, field="prompt")
        tokens = torch.full((length,), self.tokenizer.pad_id)
        tokens[: len(ids)] = torch.tensor(ids)
        return KnownTokens(tokens, torch.arange(length) < len(ids))

    def images_at_once(self, wanted: int, *, available: int | None = None) -> int:
        """Return the batch size, at least one and at most `wanted`, whose forward pass fits into `available` bytes.

        Uses upper bounds on activations and on logits over all ids. `available` defaults to the free memory; the result
        is `wanted` if that is unknown.
        """
        available = available_memory(self.device) if available is None else available
        if available is None:
            return wanted
        numbers = self.activation_bound + 3 * self.codec.capacity * self.codec.vocab_size
        return max(1, min(wanted, available // (4 * numbers)))

    def generate(
        self,
        seeds: Sequence[int],
        *,
        known: KnownTokens | None = None,
        steps: int | None = None,
        sampler: Sampler | None = None,
        on_step: Callable[[Step], None] | None = None,
    ) -> list[Generated]:
        """Return one text per seed (an integer from 0 to 2^63 - 1), sampled as one batch. A text depends only on its own seed.

        `known` fixes tokens in every text; `steps`, at least 1, and `sampler` replace the manifest's. Raises InputError if
        the model does not accept known tokens or its images are not finite, and UsageError for other arguments.
        """
        if isinstance(seeds, int):
            hint = "To sample a number of texts, use jitkit.load(MODEL).generate(n)."
            raise UsageError(shown(seeds), "the seeds of the texts, such as range(4)", field="seeds", hint=hint)
        if not len(seeds):
            return []
        tokens, images = self.sample(seeds, known=known, steps=steps, sampler=sampler, on_step=on_step)
        return self.texts(seeds, tokens, images)

    @torch.inference_mode()
    def sample(
        self,
        seeds: Sequence[int],
        *,
        known: KnownTokens | None = None,
        steps: int | None = None,
        sampler: Sampler | None = None,
        on_step: Callable[[Step], None] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the tokens [N, L] int64 and images [N, 3, H, W] of what `generate` returns, on the CPU. Requires a seed."""
        require_default_float32()
        if steps is not None and steps < 1:
            raise UsageError(str(steps), "at least 1", field="steps")
        schedule, size = self.denoiser.schedule, self.codec.image_size
        fresh_noise = NoiseSource(seeds, size, schedule.noise_scale, self.device)
        sampler = sampler or self.sampler
        grid = schedule.grid(steps or sampler.steps)
        denoise = self.denoiser if known is None else self._denoiser_with(known, len(seeds))
        images = sampler.sample(denoise, fresh_noise(), grid, fresh_noise=fresh_noise, on_step=on_step)
        return self.decode(images), images.cpu()

    def texts(self, seeds: Sequence[int], tokens: Tensor, images: Tensor) -> list[Generated]:
        """Return the texts of what `sample` has returned for the same seeds."""
        pictures = map(Picture, self.codec.encode_bytes(tokens))
        return [
            Generated(self.text_of(ids), seed, ids, image, self.num_tokens(ids), picture)
            for ids, seed, image, picture in zip(tokens, seeds, images, pictures, strict=True)
        ]

    def require_known(self) -> None:
        """Raise InputError unless the model accepts known tokens."""
        if not self.denoiser.accepts_known:
            found = "a model without known pixels, self-conditioning and token posterior"
            expected = (
                "one trained with objective.known or objective.self_conditioning above 0, or objective.token_posterior"
            )
            hint = "It can only generate unconditionally."
            raise InputError(found, expected, file=self.manifest.id, hint=hint)

    def _denoiser_with(self, known: KnownTokens, num: int) -> Denoiser:
        self.require_known()
        length = self.codec.capacity
        x_known = self.codec.encode(known.tokens.view(-1, length).to(self.device)).expand(num, -1, -1, -1)
        mask = self.codec.pixel_mask(known.mask.view(-1, length).to(self.device)).float().expand(num, -1, -1, -1)
        return self.denoiser.with_known_pixels(x_known, mask)

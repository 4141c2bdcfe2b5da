"""A whole model: text to image and back, and texts from noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from jitkit.diffusion.denoiser import Denoiser
from jitkit.errors import InputError
from jitkit.execution.config import ExecutionConfig
from jitkit.execution.device import to_device
from jitkit.execution.memory import available_memory
from jitkit.execution.runtime_network import RuntimeNetwork, prepare_network
from jitkit.manifest.schema import Manifest
from jitkit.protocols import Codec, Sampler, Step, Tokenizer

PASSING = 6  # tensors that a layer has in hand at once, at most


@dataclass(frozen=True)
class Generated:
    """One text from noise, and what it was read from."""

    text: str  # up to the first eos
    seed: int
    tokens: Tensor  # [L] int64
    image: Tensor  # [3, H, W] float, the sampled image before it is read


@dataclass(frozen=True)
class Given:
    """What is known of an image: tokens [L] int64 and a mask [L] bool, true where the token is given."""

    tokens: Tensor
    mask: Tensor


@dataclass
class Pipeline:
    """Tokenizer, codec, denoiser and sampler of one model, on one device."""

    manifest: Manifest
    tokenizer: Tokenizer
    codec: Codec
    denoiser: Denoiser
    sampler: Sampler
    device: torch.device

    @property
    def network(self) -> nn.Module:
        """The backbone's module, whatever runs it."""
        network = self.denoiser.network
        return network.network if isinstance(network, RuntimeNetwork) else network

    @property
    def execution(self) -> ExecutionConfig:
        """How the network is run: as it is written, until `ready` or `run_by` has chosen."""
        network = self.denoiser.network
        return network.execution if isinstance(network, RuntimeNetwork) else ExecutionConfig(self.device)

    def run_by(self, network: nn.Module) -> Pipeline:
        """Return the pipeline with `network`, which runs the backbone, in its place."""
        return replace(self, denoiser=replace(self.denoiser, network=network))

    def ready(self, note: Callable[[str], None]) -> Pipeline:
        """Return the pipeline with its network in evaluation mode, run as `ExecutionConfig.for_use` says; `note` is told
        where that does not work.
        """

        def trial(network: nn.Module) -> None:
            z = torch.zeros(2, 3, self.codec.image_size, self.codec.image_size, device=self.device)
            with torch.inference_mode():
                self.run_by(network).denoiser(z, torch.zeros((), device=self.device).expand(2))

        execution = ExecutionConfig.for_use(self.manifest.train, self.device)
        return self.run_by(prepare_network(self.network.eval(), execution, trial, note)[0])

    def files(self) -> dict[str, bytes]:
        """Return the files that a checkpoint must embed: those that the manifest's tokenizer and codec name."""
        return {**self.tokenizer.files(), **self.codec.files()}

    def tokens_of(self, text: str) -> Tensor:
        """Return the ids of `text` [L] int64: eos after its end, then pad. Raises InputError when it is too long."""
        ids = self.tokenizer.encode(text)
        length = self.codec.capacity
        if len(ids) > length:
            raise InputError(f"{len(ids)} tokens of text", f"at most {length}, which is what an image holds")
        if len(ids) < length:
            ids = [*ids, self.tokenizer.eos_id]
        return torch.tensor(ids + [self.tokenizer.pad_id] * (length - len(ids)))

    def text_of(self, tokens: Tensor) -> str:
        """Return the text of `tokens` [L] int64, up to the first eos."""
        ids = tokens.tolist()
        end = ids.index(self.tokenizer.eos_id) if self.tokenizer.eos_id in ids else len(ids)
        return self.tokenizer.decode(ids[:end])

    def prefix(self, text: str) -> Given:
        """Return what a prompt fixes: the first tokens of an image. Raises InputError when no room is left after it."""
        ids = self.tokenizer.encode(text)
        length = self.codec.capacity
        if not 0 < len(ids) < length:
            raise InputError(
                f"a prompt of {len(ids)} tokens",
                f"1 to {length - 1}: an image holds {length}",
                field="prompt",
            )
        tokens = torch.full((length,), self.tokenizer.pad_id)
        tokens[: len(ids)] = torch.tensor(ids)
        return Given(tokens, torch.arange(length) < len(ids))

    def images_at_once(self, wanted: int, *, available: int | None = None) -> int:
        """Return how many images, at most `wanted` and at least one, pass through the network together in free memory.

        By a bound on the greatest of its layers: `PASSING` tensors of what enters and leaves one, the scores of all
        patches for each other, and logits over all ids. `available` bytes are looked up where they are not given; where
        nobody says, nothing is bounded.
        """
        available = available_memory(self.device) if available is None else available
        if available is None:
            return wanted
        matrices = [sum(value.shape) for value in self.network.parameters() if value.ndim == 2]
        options = self.manifest.backbone.options
        patches = (self.codec.image_size // int(options.get("patch_size", 1))) ** 2
        scores = int(options.get("num_heads", 1)) * patches**2
        numbers = (
            PASSING * (patches * max(matrices, default=1) + scores) + 3 * self.codec.capacity * self.codec.vocab_size
        )
        return max(1, min(wanted, available // (4 * numbers)))

    @torch.inference_mode()
    def generate(
        self,
        seeds: Sequence[int],
        *,
        given: Given | None = None,
        steps: int | None = None,
        sampler: Sampler | None = None,
        on_step: Callable[[Step], None] | None = None,
    ) -> list[Generated]:
        """Return one text a seed, all sampled as one batch; a text depends on its own seed only.

        `given` fixes tokens, the same in every text; `steps` and `sampler` replace the manifest's. Raises InputError when
        tokens are given to a model that cannot be told.
        """
        shape = (3, self.codec.image_size, self.codec.image_size)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        scale = self.denoiser.schedule.noise_scale

        def fresh_noise() -> Tensor:
            noise = torch.stack([torch.randn(shape, generator=g) for g in generators])
            return to_device(noise, self.device) * scale

        sampler = sampler or self.sampler
        grid = self.denoiser.schedule.grid(steps or sampler.steps)
        denoise = self._given(given, len(seeds)) if given is not None else self.denoiser
        images = sampler.sample(denoise, fresh_noise(), grid, fresh_noise=fresh_noise, on_step=on_step)
        tokens = self.codec.decode(images).cpu()
        return [
            Generated(self.text_of(ids), seed, ids, image)
            for ids, seed, image in zip(tokens, seeds, images.cpu(), strict=True)
        ]

    def _given(self, given: Given, num: int) -> Denoiser:
        if not self.denoiser.can_be_given:
            raise InputError(
                "a model without known pixels, its own estimate and a reading",
                "one trained with objective.self_conditioning or objective.known above 0, or with objective.reading",
                file=self.manifest.id,
                hint="It can only generate from nothing.",
            )
        x_known = self.codec.encode(given.tokens[None].to(self.device)).expand(num, -1, -1, -1)
        known = self.codec.pixel_mask(given.mask[None].to(self.device)).float().expand(num, -1, -1, -1)
        return self.denoiser.given(x_known, known)

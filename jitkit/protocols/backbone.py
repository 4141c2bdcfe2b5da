"""The network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor, nn

    from jitkit.protocols.codec import Codec


@dataclass(frozen=True)
class NetworkInputs:
    """The optional inputs that a network is built with. In `forward`, None stands for zeros."""

    x_prev: bool = False  # [B, 3, H, W]: the previous estimate of the clean image (self-conditioning)
    known: bool = False  # [B, 1, H, W] float: 1 where a pixel of `z` is known and therefore clean
    token_posterior: bool = False  # [B, 3, H, W]: the mean image under the context-free posterior
    scale: bool = False  # [B] >= 0: the guidance scale of `x_prev`; 0 without `x_prev`


@runtime_checkable
class Backbone(Protocol):
    """Settings of a network: the table `[backbone]`.

    `build` returns a module with
    ``forward(z, t, *, x_prev=None, known=None, token_posterior=None, scale=None) -> raw``. `z` is [B, 3, H, W], `t` is
    [B] in [0, 1], and `NetworkInputs` describes the others. `raw` is [B, channels, H, W]; with three
    channels it is an image in float32. A network is only called with the inputs that it was built with.

    Requirements: the output has the right shape; the images of a batch do not influence each other; every parameter
    receives a gradient; the network can be built on `meta`; its state dict round-trips; equal seeds of torch's global
    generator build equal networks.
    """

    name: ClassVar[str]

    @property
    def image_size(self) -> int:
        """Height and width of the images, in pixels."""

    @property
    def patch_size(self) -> int:
        """Height and width of a patch, in pixels; divides `image_size`."""

    def check(self, codec: Codec) -> None:
        """Raise ManifestError if the network cannot work with the codec."""

    def build(self, inputs: NetworkInputs = NetworkInputs(), channels: int = 3) -> nn.Module:
        """Return a newly initialized network with these optional inputs and `channels` outputs per pixel."""

    def activation_bound(self, network: nn.Module) -> int:
        """Return an upper bound on the numbers per image that one layer of `network` holds at once in inference."""


@runtime_checkable
class PublishedBackbone(Protocol):
    """A backbone with published sizes, which `jitkit.build_jit_model` and `jitkit.load_pretrained_jit` find by name."""

    @classmethod
    def model_names(cls) -> tuple[str, ...]:
        """Return the names of the published sizes."""

    @classmethod
    def from_model_name(cls, name: str, image_size: int) -> Backbone:
        """Return the settings of one of `model_names`. Raises UsageError if `image_size` does not fit."""

    @classmethod
    def matching(
        cls, name: str, image_size: int, weights: Mapping[str, Tensor], options: Mapping[str, Any] | None
    ) -> nn.Module:
        """Return an uninitialized network of that size on the CPU, whose tensors match `weights` as closely as possible.

        `options` is the table `[backbone]` of the manifest that came with the weights; None without a manifest.
        """

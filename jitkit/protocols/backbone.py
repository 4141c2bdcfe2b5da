"""The network."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import nn

    from jitkit.protocols.codec import Codec


@runtime_checkable
class Backbone(Protocol):
    """Settings of a network: the table `[backbone]`.

    `build` returns a module with ``forward(z, t, *, x_prev=None, known=None, reading=None, scale=None) -> raw``: `z`
    [B, 3, H, W], `t` [B] in [0, 1], `x_prev` [B, 3, H, W] the previous estimate of the clean image, `known` [B, 1, H, W]
    float, 1 where a pixel of `z` is given clean, `reading` [B, 3, H, W] what can be read of `z` without a network (see
    `jitkit.diffusion.context_free`), `scale` [B] >= 0 how far `x_prev` guides (see `jitkit.diffusion.guidance`; 0 without
    one); `raw` [B, C, H, W], with the C `channels` that it was built with, float32 where they are 3: an image. None means
    zeros. A network is called with those only that it was built with.

    Laws: shape; the images of a batch do not influence each other; every parameter gets a gradient; builds on `meta`;
    the state dict round trips; equal seeds of torch's global generator build equal networks.
    """

    name: ClassVar[str]

    @property
    def image_size(self) -> int:
        """Height and width of the images, in pixels."""
        ...

    @property
    def patch_size(self) -> int:
        """Height and width of a patch, in pixels; divides `image_size`."""
        ...

    def check(self, codec: Codec) -> None:
        """Raise ManifestError where the network cannot work with the codec."""
        ...

    def build(
        self,
        *,
        x_prev: bool = False,
        known: bool = False,
        reading: bool = False,
        scale: bool = False,
        channels: int = 3,
    ) -> nn.Module:
        """Return a newly initialised network; the flags say which of the optional inputs it can take.

        It says `channels` numbers of each pixel.
        """
        ...

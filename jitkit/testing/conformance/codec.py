"""Conformance tests of codecs, each with several vocabularies."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from jitkit.codecs.image_codec import to_image, to_pictures
from jitkit.errors import JitkitError
from jitkit.files import Files
from jitkit.filesystem import is_file
from jitkit.protocols import Codec, CodecComponent
from jitkit.testing.conformance import assert_tensor, files_of

VOCABULARIES = (2, 67, 258)  # the smallest, one that is no power of two, one that needs more than a byte
IMAGE_SIZE, PATCH_SIZE = 16, 4
SHAPE = (3, IMAGE_SIZE, IMAGE_SIZE)
NEARLY = 0.98  # of the margin: float32 cannot resolve the exact midpoint


def round_trip(component: CodecComponent) -> None:
    """Every id survives encoding to an image in [-1, 1] and decoding. The tokens fit into the image."""
    for codec, tokens, image in _cases(component):
        assert codec.image_size == IMAGE_SIZE, f"built for {IMAGE_SIZE} pixels, image_size is {codec.image_size}"
        assert codec.capacity >= 1, "an image holds no token"
        pixels = codec.capacity * codec.pixels_per_token
        assert pixels <= IMAGE_SIZE**2, f"{codec.capacity} tokens of {codec.pixels_per_token} pixels do not fit"
        assert_tensor("the image", image, (len(tokens), *SHAPE), torch.float32)
        assert image.min() >= -1, f"the minimum is {image.min()}"
        assert image.max() <= 1, f"the maximum is {image.max()}"
        back = codec.decode(image)
        assert back.dtype == torch.int64, f"decode returns {back.dtype}"
        assert torch.equal(back, tokens), f"{(back != tokens).sum()} of {tokens.numel()} tokens changed"


def round_trip_through_png(component: CodecComponent) -> None:
    """Every id survives an 8-bit RGB PNG, and pictures represent images exactly."""
    for codec, tokens, image in _cases(component):
        pictures, read = codec.encode_bytes(tokens), []
        assert pictures.dtype == torch.uint8, f"encode_bytes returns {pictures.dtype}"
        assert torch.equal(to_image(pictures), image), "encode is not byte / 127.5 - 1 of encode_bytes"
        assert torch.equal(to_pictures(image), pictures), "rounding the image does not give the picture"
        for picture in pictures:
            file = io.BytesIO()
            Image.fromarray(picture.numpy()).save(file, "PNG")
            read.append(torch.from_numpy(np.array(Image.open(file))))
        assert torch.equal(codec.decode_bytes(torch.stack(read)), tokens), "decode_bytes changes tokens after a PNG"
        assert torch.equal(codec.decode(to_image(torch.stack(read))), tokens), "decode changes tokens after a PNG"


def margin_is_exact(component: CodecComponent) -> None:
    """The margin is half the smallest distance between two codewords."""
    for codec, *_ in _cases(component):
        least = F.pdist(_codewords(codec)).min().item() / 2
        off = abs(codec.margin - least)
        assert off <= 1e-5 * least, f"margin {codec.margin}; half the smallest distance is {least}"


def noise_below_the_margin(component: CodecComponent) -> None:
    """Tokens survive any noise whose norm per token is below the margin, even in the direction of another codeword."""
    generator = torch.Generator().manual_seed(0)
    for codec, tokens, image in _cases(component):
        other = codec.encode((tokens + 1) % codec.vocab_size)
        random = torch.randn(image.shape, generator=generator)
        for name, noise in (("random noise", random), ("noise towards another codeword", other - image)):
            for position in range(codec.capacity):
                pixels = _pixels_of(codec, position)
                norm = noise[:, :, pixels].flatten(1).norm(dim=1)
                noise[:, :, pixels] *= (NEARLY * codec.margin / norm)[:, None, None]
            assert torch.equal(codec.decode(image + noise), tokens), f"{name} below the margin changed a token"


def nearest_valid_codeword(component: CodecComponent) -> None:
    """Any image and any 8-bit picture decode to the nearest codeword of a valid id."""
    generator = torch.Generator().manual_seed(0)
    for codec, *_ in _cases(component):
        words = _codewords(codec)
        images = torch.cat([torch.randn((4, *SHAPE), generator=generator) * scale for scale in (0.3, 1, 30)])
        pictures = torch.randint(256, (8, IMAGE_SIZE, IMAGE_SIZE, 3), generator=generator).to(torch.uint8)
        for image, tokens in ((images, codec.decode(images)), (to_image(pictures), codec.decode_bytes(pictures))):
            assert tokens.min() >= 0, "an id is negative"
            assert tokens.max() < codec.vocab_size, f"id {tokens.max()} with a vocabulary of {codec.vocab_size}"
            for position in range(codec.capacity):
                values = _values_at(codec, image, position)
                distances = torch.cdist(values, words, compute_mode="donot_use_mm_for_euclid_dist")
                chosen = distances.gather(1, tokens[:, position, None])[:, 0]
                excess = (chosen - distances.min(1).values).max().item()
                assert excess <= 1e-5 * max(1, distances.max().item()), f"another codeword is nearer by {excess}"


def logits(component: CodecComponent) -> None:
    """`token_logits` are Gaussian log-likelihoods at any positions, are largest at `decode`, and have a gradient."""
    generator = torch.Generator().manual_seed(0)
    for codec, *_ in _cases(component):
        image = torch.randn((3, *SHAPE), generator=generator).requires_grad_()
        sigma = torch.tensor([0.5, 1.0, 2.0])
        found = codec.token_logits(image, sigma)
        assert found.shape == (3, codec.capacity, codec.vocab_size), f"the logits have the shape {tuple(found.shape)}"
        last = codec.capacity - 1
        squares = torch.cdist(_values_at(codec, image.detach(), last), _codewords(codec)).square()
        expected = -squares / (2 * sigma.double().square()[:, None])
        difference = (found[:, last].double() - expected).detach()
        spread = (difference - difference[:, :1]).abs().max().item()
        assert spread < 1e-3 * expected.abs().max().item(), f"they are off by {spread}"
        for positions in (slice(1), slice(1, codec.capacity)):
            some = codec.token_logits(image, sigma, positions)
            assert torch.allclose(some, found[:, positions], rtol=1e-5, atol=1e-4), f"they differ at {positions}"
        at_decode = found.gather(2, codec.decode(image.detach())[..., None])[..., 0]
        assert torch.allclose(at_decode, found.max(2).values, rtol=1e-4, atol=1e-4), "their maximum is not at decode"
        (gradient,) = torch.autograd.grad(found.logsumexp(2).sum(), image)
        assert gradient.isfinite().all(), "their gradient is not finite"
        assert gradient.abs().max() > 0, "they have no gradient"


def mean_images(component: CodecComponent) -> None:
    """`mean_image` is the image of `mean_codewords`, equals `encode` for one-hot probabilities, and is linear."""
    generator = torch.Generator().manual_seed(0)
    for codec, tokens, image in _cases(component):
        one_hot = F.one_hot(tokens[:2], codec.vocab_size).float()
        assert torch.equal(codec.mean_image(one_hot), image[:2]), "for one-hot probabilities it is not encode"
        mixed = torch.rand(one_hot.shape, generator=generator).square()
        mixed = mixed / mixed.sum(2, keepdim=True)
        mean, words = codec.mean_image(mixed), _codewords(codec)
        for position in (0, codec.capacity - 1):
            off = (_values_at(codec, mean, position) - mixed[:, position].double() @ words).abs().max().item()
            assert off < 1e-4, f"the mean of the codewords is off by {off}"
        values = codec.mean_codewords(mixed)
        assert torch.equal(codec.image_from_values(values), mean), "the image of the mean codewords differs"
        assert torch.equal(codec.token_values(mean), values), "token_values does not return the mean codewords"


def posterior_means(component: CodecComponent) -> None:
    """`posterior_mean` is the `mean_image` of the softmax of `token_logits` at any noise, and has a gradient."""
    generator = torch.Generator().manual_seed(0)
    for codec, *_ in _cases(component):
        image = torch.randn((4, *SHAPE), generator=generator).requires_grad_()
        sigma = torch.tensor([0.02, 0.5, 1.0, 20.0])
        found = codec.posterior_mean(image, sigma)
        expected = codec.mean_image(codec.token_logits(image, sigma).softmax(2))
        off = (found - expected).abs().amax((1, 2, 3)).tolist()
        assert max(off) < 1e-3, f"it is off by {max(off)} at sigma {sigma[off.index(max(off))]:g}"
        (gradient,) = torch.autograd.grad(found.sum(), image)
        assert gradient.isfinite().all(), "its gradient is not finite"


def pixels_are_owned(component: CodecComponent) -> None:
    """Each token owns `pixels_per_token` pixels and changes no others; `pixel_mask` and `token_mask` are inverse."""
    for codec, *_ in _cases(component):
        eye = torch.eye(codec.capacity, dtype=torch.bool)
        masks = codec.pixel_mask(eye)
        assert_tensor("the mask", masks, (codec.capacity, 1, *SHAPE[1:]), torch.bool)
        assert (masks.sum((1, 2, 3)) == codec.pixels_per_token).all(), "a token owns another number of pixels"
        assert masks.sum(0).max() <= 1, "two tokens own one pixel"
        together = codec.pixel_mask(torch.ones((1, codec.capacity), dtype=torch.bool))
        assert torch.equal(together[0], masks.any(0)), "the mask of all tokens is not the union of their masks"
        some = torch.arange(codec.capacity)[None] % torch.tensor([[2], [3]]) == 0
        for tokens in (eye, some):
            assert torch.equal(codec.token_mask(codec.pixel_mask(tokens)), tokens), "token_mask does not invert it"
        together.view(-1)[masks[-1].flatten().nonzero()[-1]] = False
        whole = torch.arange(codec.capacity)[None] < codec.capacity - 1
        assert torch.equal(codec.token_mask(together), whole), "a token with a missing pixel counts as complete"
        changed = codec.encode(eye.long()) != codec.encode(torch.zeros_like(eye).long())
        assert not (changed.any(1, keepdim=True) & ~masks).any(), "a token changes pixels that it does not own"


def token_values_are_the_owned_pixels(component: CodecComponent) -> None:
    """`token_values` returns the values in each token's own pixels, for any number of channels; `image_from_values` inverts it."""
    for codec, *_ in _cases(component):
        for channels in (1, 3, 7):
            image = torch.arange(2 * channels * IMAGE_SIZE**2).view(2, channels, IMAGE_SIZE, IMAGE_SIZE).float()
            found = codec.token_values(image)
            expected = (2, codec.capacity, codec.pixels_per_token * channels)
            assert found.shape == expected, f"shape {tuple(found.shape)}, expected {expected}"
            for position in (0, codec.capacity - 1):
                own = _values_at(codec, image, position).sort().values
                assert found[:, position].double().sort().values.equal(own), f"token {position} has values of others"
            assert torch.equal(codec.token_values(codec.image_from_values(found)), found), "the image has other values"


def builds_are_equal(component: CodecComponent) -> None:
    """Two builds are equal, even one from the embedded `files()` alone; images do not influence each other."""
    for (codec, tokens, image), (_, _, again) in zip(_cases(component), _cases(component), strict=True):
        assert torch.equal(image, again), "two builds encode differently"
        assert torch.equal(codec.encode(tokens[1:2]), image[1:2]), "an image depends on its batch"
        nowhere = Files(Path("an-absent-folder"), embedded=dict(codec.files()))
        rebuilt = component.build(codec.vocab_size, IMAGE_SIZE, PATCH_SIZE, nowhere)
        assert torch.equal(image, rebuilt.encode(tokens)), "rebuilt, it encodes differently"
        assert codec.tokenizer_fingerprint == rebuilt.tokenizer_fingerprint, "rebuilt, it is for another tokenizer"


def _cases(component: CodecComponent) -> Iterator[tuple[Codec, Tensor, Tensor]]:
    """Yield the codec for each vocabulary with tokens [B, L] that contain every id, and their image.

    A codec with codewords from a file may refuse all vocabularies but one.
    """
    files, refused = files_of(component), []
    for vocab_size in VOCABULARIES:
        try:
            codec = component.build(vocab_size, IMAGE_SIZE, PATCH_SIZE, files)
        except JitkitError:
            if not any(is_file(name) for name in files.allowed):
                raise
            refused.append(vocab_size)
            continue
        assert codec.vocab_size == vocab_size, f"built for {vocab_size} ids, vocab_size is {codec.vocab_size}"
        num_images = 2 + vocab_size // codec.capacity
        tokens = (torch.arange(num_images * codec.capacity) % vocab_size).view(num_images, codec.capacity)
        yield codec, tokens, codec.encode(tokens)
    assert len(refused) < len(VOCABULARIES), f"it builds for none of the vocabularies {VOCABULARIES}"


def _codewords(codec: Codec) -> Tensor:
    """Return the codewords [V, 3 k] float64, as `encode` writes them for the first token."""
    tokens = torch.zeros(codec.vocab_size, codec.capacity, dtype=torch.int64)
    tokens[:, 0] = torch.arange(codec.vocab_size)
    return _values_at(codec, codec.encode(tokens), 0)


def _pixels_of(codec: Codec, position: int) -> Tensor:
    """Return the mask [H, W] of the pixels of one token."""
    return codec.pixel_mask(torch.arange(codec.capacity)[None] == position)[0, 0]


def _values_at(codec: Codec, image: Tensor, position: int) -> Tensor:
    """Return the values [B, C k] float64 in the pixels of one token."""
    return image[:, :, _pixels_of(codec, position)].flatten(1).double()

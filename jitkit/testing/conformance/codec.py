"""The laws of codecs, each over several vocabularies."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from jitkit.codecs.pixels import to_image, to_pictures
from jitkit.errors import JitkitError
from jitkit.files import Files
from jitkit.protocols import Codec, CodecComponent
from jitkit.testing.conformance import ConformanceTest
from jitkit.testing.tiny_files import files_of

VOCABULARIES = (2, 67, 258)  # the least, one that is no power, one that needs more than a byte
IMAGE_SIZE, PATCH_SIZE = 16, 4
NEARLY = 0.98  # of the margin: float32 cannot tell sides of the very middle


def _codecs(component: CodecComponent) -> list[Codec]:
    return list(_by_vocabulary(component).values())


def _by_vocabulary(component: CodecComponent) -> dict[int, Codec]:
    """Return the codec for each vocabulary; one that reads its codewords from a file may refuse all but its own."""
    files, codecs = files_of(component), dict[int, Codec]()
    for vocab_size in VOCABULARIES:
        try:
            codecs[vocab_size] = component.build(vocab_size, IMAGE_SIZE, PATCH_SIZE, files)
        except JitkitError:
            if not any(Path(name).is_file() for name in files.allowed):
                raise
    assert codecs, f"it builds for none of the vocabularies {VOCABULARIES}"
    return codecs


def _every_token(codec: Codec) -> Tensor:
    """Return images [B, L] in which every id comes up, at changing places."""
    num_images = 2 + codec.vocab_size // codec.capacity
    return (torch.arange(num_images * codec.capacity) % codec.vocab_size).view(num_images, codec.capacity)


def _codewords(codec: Codec) -> Tensor:
    """Return the codewords [V, 3 k] float64 that `encode` writes into the pixels of the first token."""
    tokens = torch.zeros(codec.vocab_size, codec.capacity, dtype=torch.int64)
    tokens[:, 0] = torch.arange(codec.vocab_size)
    return _cells(codec, codec.encode(tokens), 0)


def _cells(codec: Codec, image: Tensor, place: int) -> Tensor:
    """Return the numbers [B, 3 k] float64 in the pixels that the token at `place` owns."""
    mask = codec.pixel_mask(torch.arange(codec.capacity)[None] == place)[0, 0]
    return image[:, :, mask].flatten(1).double()


def facts(component: CodecComponent) -> None:
    """A codec says what it was built for, and its tokens fit into the image."""
    for vocab_size, codec in _by_vocabulary(component).items():
        assert codec.vocab_size == vocab_size, f"built for {vocab_size} ids, it says {codec.vocab_size}"
        assert codec.image_size == IMAGE_SIZE, f"built for {IMAGE_SIZE} pixels, it says {codec.image_size}"
        pixels = codec.capacity * codec.pixels_per_token
        assert codec.capacity >= 1, "an image holds no token"
        assert pixels <= IMAGE_SIZE**2, f"{codec.capacity} tokens of {codec.pixels_per_token} pixels do not fit"


def round_trip(component: CodecComponent) -> None:
    """Every id comes back from the image it was encoded into."""
    for codec in _codecs(component):
        tokens = _every_token(codec)
        image = codec.encode(tokens)
        assert image.shape == (len(tokens), 3, IMAGE_SIZE, IMAGE_SIZE), f"encode gives the shape {tuple(image.shape)}"
        assert image.dtype == torch.float32, f"encode gives {image.dtype}"
        back = codec.decode(image)
        assert back.dtype == torch.int64, f"decode gives {back.dtype}"
        assert torch.equal(back, tokens), f"{(back != tokens).sum()} of {tokens.numel()} tokens came back as others"


def round_trip_through_png(component: CodecComponent) -> None:
    """Every id comes back from an 8-bit RGB PNG, and pictures are exactly the images."""
    for codec in _codecs(component):
        tokens = _every_token(codec)
        pictures = codec.encode_bytes(tokens)
        assert pictures.dtype == torch.uint8, f"encode_bytes gives {pictures.dtype}"
        assert torch.equal(to_image(pictures), codec.encode(tokens)), "encode is not byte / 127.5 - 1 of encode_bytes"
        assert torch.equal(to_pictures(codec.encode(tokens)), pictures), "rounding the image does not give the picture"
        read = torch.stack([_through_png(picture) for picture in pictures])
        assert torch.equal(codec.decode_bytes(read), tokens), "tokens came back as others from a PNG"
        assert torch.equal(codec.decode(to_image(read)), tokens), "tokens came back as others from the image of a PNG"


def _through_png(picture: Tensor) -> Tensor:
    file = io.BytesIO()
    Image.fromarray(picture.numpy()).save(file, "PNG")
    return torch.from_numpy(np.array(Image.open(file)))


def value_range(component: CodecComponent) -> None:
    """Images lie in [-1, 1]."""
    for codec in _codecs(component):
        image = codec.encode(_every_token(codec))
        assert image.min() >= -1, f"the least number is {image.min()}"
        assert image.max() <= 1, f"the greatest number is {image.max()}"


def margin_is_exact(component: CodecComponent) -> None:
    """The margin is half the least distance of two codewords."""
    for codec in _codecs(component):
        words = _codewords(codec)
        least = torch.nn.functional.pdist(words).min().item() / 2
        assert abs(codec.margin - least) <= 1e-5 * least, f"margin {codec.margin}; half the least distance is {least}"


def noise_below_the_margin(component: CodecComponent) -> None:
    """Tokens survive any noise whose norm a token is below the margin, straight towards another codeword too."""
    generator = torch.Generator().manual_seed(0)
    for codec in _codecs(component):
        tokens = _every_token(codec)
        image = codec.encode(tokens)
        noise = torch.randn(image.shape, generator=generator)
        for place in range(codec.capacity):
            cell = codec.pixel_mask(torch.arange(codec.capacity)[None] == place)[0, 0]
            norms = noise[:, :, cell].flatten(1).norm(dim=1)
            noise[:, :, cell] *= (NEARLY * codec.margin / norms)[:, None, None]
        assert torch.equal(codec.decode(image + noise), tokens), "noise below the margin changed a token"
        other = codec.encode((tokens + 1) % codec.vocab_size)
        for place in range(codec.capacity):
            cell = codec.pixel_mask(torch.arange(codec.capacity)[None] == place)[0, 0]
            way = (other - image)[:, :, cell]
            norms = way.flatten(1).norm(dim=1)
            noise[:, :, cell] = way * (NEARLY * codec.margin / norms)[:, None, None]
        assert torch.equal(codec.decode(image + noise), tokens), "noise towards another codeword changed a token"


def nearest_valid_codeword(component: CodecComponent) -> None:
    """Any image at all decodes to the nearest codeword of a valid id; pictures of bytes too."""
    generator = torch.Generator().manual_seed(0)
    for codec in _codecs(component):
        words = _codewords(codec)
        shape = (4, 3, IMAGE_SIZE, IMAGE_SIZE)
        wild = torch.cat([torch.randn(shape, generator=generator) * scale for scale in (0.3, 1, 30)])
        _reads_nearest(codec, words, wild, codec.decode(wild))
        pictures = torch.randint(256, (8, IMAGE_SIZE, IMAGE_SIZE, 3), generator=generator).to(torch.uint8)
        _reads_nearest(codec, words, to_image(pictures), codec.decode_bytes(pictures))


def _reads_nearest(codec: Codec, words: Tensor, image: Tensor, tokens: Tensor) -> None:
    assert tokens.min() >= 0, "an id is negative"
    assert tokens.max() < codec.vocab_size, f"id {tokens.max()} of a vocabulary of {codec.vocab_size}"
    for place in range(codec.capacity):
        distances = torch.cdist(_cells(codec, image, place), words, compute_mode="donot_use_mm_for_euclid_dist")
        chosen = distances.gather(1, tokens[:, place, None])[:, 0]
        excess = (chosen - distances.min(1).values).max().item()
        assert excess <= 1e-5 * max(1, distances.max().item()), f"a codeword was nearer by {excess}"


def logits(component: CodecComponent) -> None:
    """`token_logits` differ as Gaussian log-likelihoods do, also at some places, are greatest at `decode`, and have a gradient."""
    generator = torch.Generator().manual_seed(0)
    for codec in _codecs(component):
        image = torch.randn((3, 3, IMAGE_SIZE, IMAGE_SIZE), generator=generator).requires_grad_()
        sigma = torch.tensor([0.5, 1.0, 2.0])
        found = codec.token_logits(image, sigma)
        assert found.shape == (3, codec.capacity, codec.vocab_size), f"the logits have the shape {tuple(found.shape)}"
        place = codec.capacity - 1
        squares = torch.cdist(_cells(codec, image.detach(), place), _codewords(codec)).square()
        expected = -squares / (2 * sigma.double().square()[:, None])
        difference = (found[:, place].double() - expected).detach()
        spread = (difference - difference[:, :1]).abs().max().item()
        assert spread < 1e-3 * expected.abs().max().item(), f"they are off by {spread}"
        for places in (slice(1), slice(1, codec.capacity)):
            some = codec.token_logits(image, sigma, places)
            assert torch.allclose(some, found[:, places], rtol=1e-5, atol=1e-4), f"at {places} they are others"
        at_decode = found.gather(2, codec.decode(image.detach())[..., None])[..., 0]
        assert torch.allclose(at_decode, found.max(2).values, rtol=1e-4, atol=1e-4), "their maximum is not at decode"
        (gradient,) = torch.autograd.grad(found.logsumexp(2).sum(), image)
        assert gradient.isfinite().all(), "their gradient is not finite"
        assert gradient.abs().max() > 0, "they have no gradient"


def mean_images(component: CodecComponent) -> None:
    """`mean_image`, `write` of `mean_codewords`, is `encode` where there is no doubt, and mixes as the probabilities say."""
    generator = torch.Generator().manual_seed(0)
    for codec in _codecs(component):
        tokens = _every_token(codec)[:2]
        certain = torch.nn.functional.one_hot(tokens, codec.vocab_size).float()
        assert torch.equal(codec.mean_image(certain), codec.encode(tokens)), "without doubt it is not encode"
        doubt = torch.rand(certain.shape, generator=generator).square()
        doubt = doubt / doubt.sum(2, keepdim=True)
        mean, words = codec.mean_image(doubt), _codewords(codec)
        for place in (0, codec.capacity - 1):
            off = (_cells(codec, mean, place) - doubt[:, place].double() @ words).abs().max().item()
            assert off < 1e-4, f"the mean of the codewords is off by {off}"

        held = codec.mean_codewords(doubt)
        assert torch.equal(codec.image_from_values(held), mean), "the mean codewords, written, are another image"
        assert torch.equal(codec.token_values(mean), held), "what was written is not what is read"


def posterior_means(component: CodecComponent) -> None:
    """`posterior_mean` is the `mean_image` of the softmax of `token_logits`, at any noise, and has a gradient."""
    generator = torch.Generator().manual_seed(0)
    for codec in _codecs(component):
        image = torch.randn((4, 3, IMAGE_SIZE, IMAGE_SIZE), generator=generator).requires_grad_()
        sigma = torch.tensor([0.02, 0.5, 1.0, 20.0])
        found, expected = (
            codec.posterior_mean(image, sigma),
            codec.mean_image(codec.token_logits(image, sigma).softmax(2)),
        )
        off = (found - expected).abs().amax((1, 2, 3)).tolist()
        assert max(off) < 1e-3, f"it is off by {max(off)} at sigma {sigma[off.index(max(off))]:g}"
        (gradient,) = torch.autograd.grad(found.sum(), image)
        assert gradient.isfinite().all(), "its gradient is not finite"


def pixels_are_owned(component: CodecComponent) -> None:
    """Each token owns `pixels_per_token` pixels of its own, changing it changes no other, and masks tell whose they are."""
    for codec in _codecs(component):
        masks = codec.pixel_mask(torch.eye(codec.capacity, dtype=torch.bool))
        assert masks.shape == (codec.capacity, 1, IMAGE_SIZE, IMAGE_SIZE), f"the mask's shape is {tuple(masks.shape)}"
        assert masks.dtype == torch.bool, f"the mask is {masks.dtype}"
        assert (masks.sum((1, 2, 3)) == codec.pixels_per_token).all(), "a token owns another number of pixels"
        assert masks.sum(0).max() <= 1, "two tokens own one pixel"
        together = codec.pixel_mask(torch.ones((1, codec.capacity), dtype=torch.bool))
        assert torch.equal(together[0], masks.any(0)), "the mask of all is not all masks"
        some = torch.arange(codec.capacity)[None] % torch.tensor([[2], [3]]) == 0
        for given in (torch.eye(codec.capacity, dtype=torch.bool), some):
            assert torch.equal(codec.token_mask(codec.pixel_mask(given)), given), "token_mask does not invert it"
        one_less = together.clone()
        one_less.view(-1)[masks[-1].flatten().nonzero()[-1]] = False
        whole = torch.arange(codec.capacity)[None] < codec.capacity - 1
        assert torch.equal(codec.token_mask(one_less), whole), "a token of which a pixel is missing counts as whole"
        before = torch.zeros((codec.capacity, codec.capacity), dtype=torch.int64)
        changed = codec.encode(before + torch.eye(codec.capacity, dtype=torch.int64)) != codec.encode(before)
        assert not (changed.any(1, keepdim=True) & ~masks).any(), "a token changed pixels that it does not own"


def read_finds_a_tokens_pixels(component: CodecComponent) -> None:
    """`read` gives each token the numbers in the pixels it owns and no others, whatever the number of channels; `write` inverts it."""
    for codec in _codecs(component):
        size = codec.image_size
        for channels in (1, 3, 7):
            image = torch.arange(2 * channels * size * size).view(2, channels, size, size).float()
            found = codec.token_values(image)
            expected = (2, codec.capacity, codec.pixels_per_token * channels)
            assert found.shape == expected, f"shape {tuple(found.shape)} instead of {expected}"
            for place in (0, codec.capacity - 1):
                theirs, own = found[:, place].double().sort().values, _cells(codec, image, place).sort().values
                assert theirs.equal(own), f"token {place} is given numbers of other pixels"
            assert torch.equal(codec.token_values(codec.image_from_values(found)), found), (
                "what is written is not what is read"
            )


def deterministic(component: CodecComponent) -> None:
    """Built twice, it is the same codec, whatever the global generator says; and images do not influence each other."""
    for codec, again in zip(_codecs(component), _codecs(component), strict=True):
        torch.rand(1)
        tokens = _every_token(codec)
        assert torch.equal(codec.encode(tokens), again.encode(tokens)), "two builds encode differently"
        assert torch.equal(codec.encode(tokens[1:2]), codec.encode(tokens)[1:2]), "an image depends on its batch"


def embedded_files_suffice(component: CodecComponent) -> None:
    """What `files()` returns is enough to build the same codec where nothing else is."""
    for codec in _codecs(component):
        nowhere = Files(Path("an-absent-folder"), embedded=dict(codec.files()))
        again = component.build(codec.vocab_size, IMAGE_SIZE, PATCH_SIZE, nowhere)
        tokens = _every_token(codec)
        assert torch.equal(codec.encode_bytes(tokens), again.encode_bytes(tokens)), "rebuilt, it encodes differently"
        assert codec.tokenizer_fingerprint == again.tokenizer_fingerprint, "rebuilt, it is made for another tokenizer"


CONFORMANCE_TESTS: tuple[ConformanceTest, ...] = (
    facts,
    round_trip,
    round_trip_through_png,
    value_range,
    margin_is_exact,
    noise_below_the_margin,
    nearest_valid_codeword,
    logits,
    mean_images,
    posterior_means,
    pixels_are_owned,
    read_finds_a_tokens_pixels,
    deterministic,
    embedded_files_suffice,
)

"""Tokens a second through `encode_bytes` and `decode_bytes`, for each codec.

python research/codecs.py
"""

from __future__ import annotations

import os
import platform
import time

import torch

from jitkit.protocols import Codec
from jitkit_plugins.codecs import jitkit_codecs

NUM_TOKENS, REPEATS = 1_000_000, 5
VOCABULARIES, IMAGE_SIZE, PATCH_SIZE = (258, 16_384), 64, 4


def seconds(codec: Codec, tokens: torch.Tensor) -> tuple[float, float]:
    """Return the best times of encoding and of decoding."""
    best = [float("inf"), float("inf")]
    for _ in range(REPEATS):
        start = time.perf_counter()
        pictures = codec.encode_bytes(tokens)
        middle = time.perf_counter()
        read = codec.decode_bytes(pictures)
        end = time.perf_counter()
        assert torch.equal(read, tokens)
        best = [min(best[0], middle - start), min(best[1], end - middle)]
    return best[0], best[1]


def main() -> None:
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__};"
        f" {NUM_TOKENS:,} tokens, images of {IMAGE_SIZE}x{IMAGE_SIZE}, best of {REPEATS}; million tokens a second"
    )
    print(f"{'codec':10} {'layout':12} {'V':>6} {'encode':>8} {'decode':>8} {'both':>8}")
    for member in jitkit_codecs():
        for layout in ("raster", "patch-major"):
            for vocab_size in VOCABULARIES:
                codec = member.model_validate({"layout": layout}).build(vocab_size, IMAGE_SIZE, PATCH_SIZE)
                num_images = -(-NUM_TOKENS // codec.capacity)
                tokens = torch.randint(vocab_size, (num_images, codec.capacity))
                encoding, decoding = seconds(codec, tokens)
                rates = [tokens.numel() / 1e6 / spent for spent in (encoding, decoding, encoding + decoding)]
                print(f"{member.name:10} {layout:12} {vocab_size:6} " + " ".join(f"{rate:8.1f}" for rate in rates))


if __name__ == "__main__":
    main()

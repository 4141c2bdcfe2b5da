"""What a step costs beside the network: loading windows, drawing them as pictures, noise, a line in the log; and tokenising."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch

from jitkit.bench.target import BenchmarkTarget
from jitkit.bench.timing import Spread, as_json, repeated, repeatedly
from jitkit.bench.training import in_a_row
from jitkit.discovery.loader import PluginManager
from jitkit.training.metrics_log import MetricsLog
from jitkit.training.prefetch import Prefetcher
from jitkit.training.reporting import Reporter

NUM_TOKENS = 2**17  # what tokenising and codecs are measured on, or the whole text where that is less


def measure_data(target: BenchmarkTarget, manager: PluginManager, *, step_seconds: float) -> dict[str, object]:
    """Return seconds of making a batch ready, of its parts, and of logging a step; their share of a step; and bytes of text
    tokenised a second.
    """
    train, steps = target.components.manifest.train, count()
    windows, tokenizer, device = target.windows, target.pipeline.tokenizer, target.device

    def load() -> torch.Tensor:
        return windows.tokens(windows.batch_starts(train.seed, next(steps), train.batch_size))

    tokens = load().to(device)
    text = tokenizer.decode(target.data.train.tokens[:NUM_TOKENS].tolist())
    batch = repeated(lambda: target.batch(next(steps)), device)
    logging = _logging(manager)
    return as_json(
        batch_seconds=batch,
        windows_seconds=repeated(load, torch.device("cpu")),
        codec_seconds=repeated(lambda: target.pipeline.codec.encode(tokens), device),
        logging_seconds=logging,
        share_of_step=_share(target, batch.median, step_seconds) + logging.median / step_seconds,
        tokenize_bytes_per_second=repeated(lambda: tokenizer.encode(text), torch.device("cpu")).per(len(text.encode())),
    )


def _logging(manager: PluginManager) -> Spread:
    """Return the time of telling everybody of a step: a line in `metrics.jsonl`, and the plugins; no trackers."""
    values = {
        "step": 1,
        "epoch": 1,
        "loss": 1.25,
        "lr": 1e-3,
        "grad_norm": 0.5,
        "seconds": 0.25,
        "tokens_per_second": 1e5,
    }
    with TemporaryDirectory() as folder:
        reporter = Reporter(Path(folder), MetricsLog(Path(folder, "metrics.jsonl")), {}, manager, lambda _: None)
        seconds = repeated(lambda: reporter.step(values), torch.device("cpu"))
        reporter.close()
    return seconds


def _share(target: BenchmarkTarget, batch_seconds: float, step_seconds: float) -> float:
    """Return the share of a step that goes into its batch; on a GPU what a step gains whose batch is there already."""
    if target.device.type == "cpu":
        return batch_seconds / step_seconds
    batch = target.batch(0)
    without = repeatedly(in_a_row(target, Prefetcher(lambda _: batch, ahead=False)))
    return max(0.0, 1 - median(without) / step_seconds)


def measure_codec(target: BenchmarkTarget) -> dict[str, object]:
    """Return tokens a second from ids to images and back."""
    codec = target.pipeline.codec
    starts = target.windows.consecutive[: max(1, NUM_TOKENS // codec.capacity)]
    tokens = target.windows.tokens(starts).to(target.device)
    images = codec.encode(tokens)
    return as_json(
        encode_tokens_per_second=repeated(lambda: codec.encode(tokens), target.device).per(tokens.numel()),
        decode_tokens_per_second=repeated(lambda: codec.decode(images), target.device).per(tokens.numel()),
        num_tokens=tokens.numel(),
    )

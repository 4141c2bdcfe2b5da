"""What a step costs besides the network: windows, images, noise, and logging. Also the speed of tokenizer and codec."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch

from jitkit.bench.target import BenchmarkTarget
from jitkit.bench.timing import Spread, as_json, measure_seconds, repeat
from jitkit.bench.training import consecutive_steps
from jitkit.discovery.loader import PluginManager
from jitkit.training.metrics_log import MetricsLog
from jitkit.training.prefetch import Prefetcher
from jitkit.training.reporting import Reporter

NUM_TOKENS = 2**17  # of text that tokenizer and codec are measured on, or all of it if there is less
CPU = torch.device("cpu")


def measure_data(target: BenchmarkTarget, manager: PluginManager, *, step_seconds: float) -> dict[str, object]:
    """Return the seconds of a batch, of its parts, and of logging; their share of a step; and tokenized bytes per second."""
    setup, steps = target.setup, count()
    tokenizer, codec, device = target.pipeline.tokenizer, target.pipeline.codec, target.device

    def load() -> torch.Tensor:
        return setup.text.train.tokens(
            setup.text.train.batch_starts(setup.train.seed, next(steps), setup.train.batch_size)
        )

    tokens = load().to(device)
    text = tokenizer.decode(setup.text.data.train.tokens[:NUM_TOKENS].tolist())
    batch = measure_seconds(lambda: setup.batch(next(steps)), device)
    logging = _logging(manager)
    return as_json(
        batch_seconds=batch,
        windows_seconds=measure_seconds(load, CPU),
        codec_seconds=measure_seconds(lambda: codec.encode(tokens), device),
        logging_seconds=logging,
        share_of_step=_share(target, batch.median, step_seconds) + logging.median / step_seconds,
        tokenize_bytes_per_second=measure_seconds(lambda: tokenizer.encode(text), CPU).rate(len(text.encode())),
    )


def _logging(manager: PluginManager) -> Spread:
    """Return the seconds of reporting a step to `metrics.jsonl` and plugins, without trackers."""
    numbers = {"loss": 1.25, "lr": 1e-3, "grad_norm": 0.5, "seconds": 0.25, "tokens_per_second": 1e5}
    with TemporaryDirectory() as folder:
        reporter = Reporter(Path(folder), MetricsLog(Path(folder, "metrics.jsonl")), {}, manager, lambda _: None)
        taken = measure_seconds(lambda: reporter.step({"step": 1, "epoch": 1, **numbers}), CPU)
        reporter.close()
    return taken


def _share(target: BenchmarkTarget, batch_seconds: float, step_seconds: float) -> float:
    """Return the share of a step spent on its batch. On a GPU, what a step gains if the batch exists already."""
    if target.device.type == "cpu":
        return batch_seconds / step_seconds
    batch = target.setup.batch(0)
    task = target.task(Prefetcher(lambda _: batch, ahead=False))
    return max(0.0, 1 - median(repeat(consecutive_steps(target, task))) / step_seconds)


def measure_codec(target: BenchmarkTarget) -> dict[str, object]:
    """Return tokens per second from ids to images and back."""
    codec, windows, device = target.pipeline.codec, target.setup.text.train, target.device
    tokens = windows.tokens(windows.consecutive[: max(1, NUM_TOKENS // codec.capacity)]).to(device)
    images = codec.encode(tokens)
    return as_json(
        encode_tokens_per_second=measure_seconds(lambda: codec.encode(tokens), device).rate(tokens.numel()),
        decode_tokens_per_second=measure_seconds(lambda: codec.decode(images), device).rate(tokens.numel()),
        num_tokens=tokens.numel(),
    )

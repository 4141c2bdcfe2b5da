"""Batch sizes for computations with a logit for every token and vocabulary id."""

MAX_LOGITS = 2**24  # 64 MB in float32


def windows_per_batch(length: int, vocab_size: int) -> int:
    """Return how many windows of `length` tokens have at most `MAX_LOGITS` logits together; at least one."""
    return max(1, MAX_LOGITS // (length * vocab_size))

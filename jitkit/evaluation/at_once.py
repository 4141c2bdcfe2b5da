"""How many windows are read together where every token has a logit for every id."""

LOGITS_AT_ONCE = 2**24  # 64 MB in float32


def windows_at_once(length: int, vocab_size: int) -> int:
    """Return how many windows of `length` tokens have no more than `LOGITS_AT_ONCE` logits together; at least one."""
    return max(1, LOGITS_AT_ONCE // (length * vocab_size))

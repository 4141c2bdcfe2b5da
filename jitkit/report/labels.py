"""How the pages and tables call the numbers of documents."""

from __future__ import annotations

FRONTIER_X, FRONTIER_Y = "entropy", "judge_bits"  # the axes of a frontier's chart
FRONTIER_COLUMNS = ("judge_bits", "entropy", "known_words", "repeated", "distinct", "copied")
LABELS = {
    "cer": "character error rate",
    "contextless": "context-free baseline",
    "bigram": "bigram baseline",
    "one_step": "one step",
    "sampled": "eight steps",
    "exact": "exact matches",
    "judge_bits": "n-gram model, bits/char",
    "entropy": "entropy, nats/token",
    "repeated": "repeated 12-grams",
    "distinct": "distinct word pairs",
    "compressed": "size after zlib",
    "characters": "characters per text",
    "copied": "longest copy, characters",
    "most_copied": "longest copy of all",
    "gen_ppl": "perplexity under GPT-2",
    "gpt2_entropy": "entropy, nats/GPT-2 token",
    "gpt2_tokens": "GPT-2 tokens per text",
    "judge_parameters": "parameters of GPT-2",
    "mauve": "MAUVE",
    "ode_likelihood": "ODE likelihood",
    "ended": "ended by eos",
    "invalid": "invalid UTF-8",
}


def label(name: str) -> str:
    """Return the name of a metric or number in words."""
    return LABELS.get(name, name.replace("_", " "))

"""Ablations: train one manifest under many settings and seeds, evaluate every run, and tabulate the results."""

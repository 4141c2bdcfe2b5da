"""Evaluation of trained models: held-out text, noise, metrics, and the report."""

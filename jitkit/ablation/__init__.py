"""Ablations: one manifest under many settings and seeds, trained, measured, and laid out in one table."""

"""Measuring a trained model: what is measured, on which windows, with which noise, and how the report is written."""

"""Predictions of memory, time, and cost of training on many devices, from a simulated step and a table of devices."""

"""The functions behind `jitkit.load`, `jitkit.train`, and `jitkit.evaluate`. The commands call the same ones.

They print nothing unless `progress` is set, and leave torch's generator, signal handlers, and the environment as they were.
"""

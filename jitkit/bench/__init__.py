"""How fast a model trains, samples, reads data, and saves on this machine, compared with the limits of the machine."""

SECTIONS = ("ceiling", "training", "memory", "data", "codec", "checkpoint", "startup", "sampling")

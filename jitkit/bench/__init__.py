"""How fast a model trains, samples, reads data, and saves on this machine, compared with the limits of the machine."""

SECTIONS = ("startup", "training", "memory", "ceiling", "data", "codec", "checkpoint", "sampling")

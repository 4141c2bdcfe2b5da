"""How fast a model trains, samples, reads and is saved on this machine, beside what the machine can do at all."""

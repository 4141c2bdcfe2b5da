"""How a network is run, for training, evaluation and generation alike: device, precision, compilation, memory.

Networks are written plainly; what makes them fast stands here, is chosen in `choice`, and changes no result but in rounding.
"""

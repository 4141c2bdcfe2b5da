"""How a network is run: device, precision, compilation, memory. Training uses all of it; evaluation and generation, the device.

Networks are written plainly; what makes them fast stands here, is chosen in `choice`, and changes no result but in rounding.
"""

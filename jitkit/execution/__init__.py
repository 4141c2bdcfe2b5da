"""How a network is run: device, precision, compilation, memory. Training, evaluation and generation all run a network so.

Networks are written plainly; what makes them fast stands here, is chosen in `choice`, and changes no result but in rounding.
"""

from jitkit.execution import repeatable as repeatable  # first of all: it has to be there before any matrix product
from jitkit.execution.heap import ask_for_large_pages

ask_for_large_pages()  # before any tensor

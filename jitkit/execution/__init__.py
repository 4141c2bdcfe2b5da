"""How a network runs: device, precision, compilation, memory. Training, evaluation and generation share this.

Networks are written plainly. What makes them fast is here, is chosen in `config`, and changes results only in rounding.
"""

from jitkit.execution.cpu_tuning import ask_for_large_pages
from jitkit.execution.determinism import configure_cublas

configure_cublas()  # before any matrix product
ask_for_large_pages()  # before any tensor

"""How a network runs: device, precision, compilation, memory. Training, evaluation, and generation share it.

Networks are written in plain PyTorch. What makes them fast is in this folder, is selected in `config`, and changes results
only by rounding.
"""

from jitkit.execution.cpu_tuning import enable_large_pages
from jitkit.execution.determinism import configure_cublas

configure_cublas()  # before the first matrix product
enable_large_pages()  # before the first tensor

"""The command lines: the only place that reads arguments, builds the parts, and joins them."""

import os

# NumPy's BLAS is never used for more than a dot product, but its idle threads spin: 7 % of a process's time (measured).
# It reads this when it is imported, so it stands before any import that needs NumPy.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

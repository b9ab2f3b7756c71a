"""How many threads a job computes on: sums of floats depend on it, so it is a part of results."""

#: What the environment of a job that is handed to the fork server says: one thread in every library
#: that asks when it is loaded.
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)

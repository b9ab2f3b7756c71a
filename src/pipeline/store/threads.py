"""How many threads a job computes with: sums of floats depend on it, so it affects results."""

#: Environment of a job that is handed to the fork server: one thread for every library that reads
#: the number when it is loaded.
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)

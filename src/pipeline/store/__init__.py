"""Files and digests: what is written, sealed and read back, and what decides a rerun."""

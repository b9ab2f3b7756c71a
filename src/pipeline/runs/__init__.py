"""Runs of studies: what they will cost, how far they are, what they left behind."""

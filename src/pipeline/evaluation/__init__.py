"""Evaluation: lm-evaluation-harness behind one adapter, and sparsity measured while it runs."""

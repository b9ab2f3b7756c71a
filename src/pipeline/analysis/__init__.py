"""Analysis: accuracy lost against achieved sparsity, paired by item, and the finding in words."""

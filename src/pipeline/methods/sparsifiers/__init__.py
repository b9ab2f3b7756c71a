"""Sparsifiers, one module each; `registry.SPARSIFIERS` names them."""

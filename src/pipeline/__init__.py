"""Cold Neurons: how FFN sparsity along PowerInfer's hot/cold split relates to reasoning loss.

Importing this package, or any module below it, loads no torch, opens no file and starts no thread;
heavy libraries are imported by the functions that need them.
"""

__version__ = "0.1.0"

"""Calibration: documents from somewhere, cut into token windows, kept apart from evaluation.

A kind of corpus is a `base.CorpusKind`; `registry.CORPORA` names them.
"""

"""Calibration: documents from somewhere, cut into token windows, kept apart from evaluation.

A kind of corpus is a function `documents(where, corpus) -> iterator of texts`.
"""

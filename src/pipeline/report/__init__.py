"""The report: Vega-Lite figures and one self-contained page, made from the analysis tables.

Numbers are formatted here and nowhere else.
"""

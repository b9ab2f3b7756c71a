"""The words of the page."""

from pipeline.report.section import Section

SECTION = Section()

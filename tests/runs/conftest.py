"""A small study, planned."""

import pytest

from pipeline.config.study import parse_study
from pipeline.study import Study


@pytest.fixture
def small(study_values):
    """A function: sections changed at their keys -> the small study."""

    def planned(**sections):
        for name, changes in sections.items():
            if isinstance(changes, dict):
                study_values[name] = study_values[name] | changes
            else:
                study_values[name] = changes
        return Study(parse_study(study_values))

    return planned

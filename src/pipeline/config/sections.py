"""The top-level keys of a study, whichever way its methods are written."""

from typing import Any

from pydantic import Field

from pipeline.config.analysis import Analysis
from pipeline.config.base import Name, Section, Seed
from pipeline.config.calibration import Corpus
from pipeline.config.classification import Classification
from pipeline.config.evaluation import Evaluation
from pipeline.config.models import Model
from pipeline.config.profile import Profile


class StudySections(Section):
    """The keys of a study, in their order; subclasses say what an entry of `methods` holds."""

    study: Name = Field(description="results go to results/STUDY")
    seed: Seed = Field(
        0,
        description="of resamples and permutations; what a method draws goes by its `seeds`",
    )
    models: dict[Name, Model] = Field(min_length=1)
    calibration: dict[Name, Corpus] = Field(min_length=1)
    profile: Profile = Field(default_factory=Profile)
    classification: dict[Name, Classification] = Field(min_length=1)
    methods: dict[Name, Any] = Field(min_length=1)
    evaluation: Evaluation
    analysis: Analysis = Field(default_factory=Analysis)

"""Evidence that methods are fitted on, of a model and a random text at hand."""

import numpy as np

from pipeline.config.profile import Profile
from pipeline.methods.sparsifiers.base import Evidence
from pipeline.models.memory import Room
from pipeline.profiling.collect import residual_sample
from pipeline.profiling.evidence import histograms
from pipeline.reference.vocabulary import BOS, EOS, SPECIAL, VOCABULARY

SPECIAL_IDS = list(range(len(SPECIAL)))
WORDS = len(VOCABULARY) - len(SPECIAL)


def random_text(sequences, seed=0, shortest=12, longest=24, words=WORDS):
    """Random ones of so many words between a start and an end token, sequences of many lengths."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(shortest, longest + 1, sequences)
    drawn = [generator.integers(len(SPECIAL), len(SPECIAL) + words, n - 2) for n in lengths]
    return [[BOS, *map(int, chosen), EOS] for chosen in drawn]


def evidence_of(model, rows, special=SPECIAL_IDS, batch_size=16, **facts):
    """The tables are made of the model as it is when they are asked for."""

    def residuals(text, tokens):
        above = [np.zeros(ffn.down.in_features) for ffn in evidence.layout.ffns]
        return residual_sample(model, text, special, above, tokens, Room(batch_size))

    def tables():
        return histograms(model, rows, special, Profile(batch_size=batch_size))

    evidence = Evidence(model, rows, special, tables, residuals, room=Room(batch_size), **facts)
    return evidence

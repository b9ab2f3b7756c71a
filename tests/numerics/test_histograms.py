"""Quantiles from histograms against exact ones, within the bound that is promised."""

from fractions import Fraction
from math import ceil

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from pipeline.errors import UserError
from pipeline.numerics import histograms


def histogram(values):
    found = histograms.counts(torch.as_tensor(np.asarray(values, dtype=np.float32)))
    return pl.DataFrame(histograms.rows(found.numpy()))


def exact(values, share):
    ordered = np.sort(np.abs(np.asarray(values, dtype=np.float64)))
    return ordered[max(1, ceil(Fraction(str(share)) * ordered.size)) - 1]


def test_bins_by_hand():
    # 1.0 and 1.0156 (1 + 1/64) begin neighbouring bins; 3 lies in [3, 3 + 1/32).
    made = histogram([1.0, 1.01, 1.015625, -3.0, 0.0, -0.0, 1e-40])
    assert made.rows() == [
        (-1, 3.0, 3.03125, 1),
        (0, 0.0, 0.0, 3),
        (1, 1.0, 1.015625, 2),
        (1, 1.015625, 1.03125, 1),
    ]


def test_non_finite_values_are_in_no_row():
    made = histogram([float("nan"), float("inf"), float("-inf"), 2.0, np.finfo(np.float32).max])
    assert made["count"].to_list() == [1, 1]
    assert made["low"][0] == 2.0 and np.isfinite(made["low"][1])


@given(
    hn.arrays(np.float32, st.integers(1, 200), elements=st.floats(-(2.0**99), 2.0**99, width=32)),
    st.floats(0, 1),
)
def test_quantiles_are_within_the_promised_error_of_exact_ones(values, share):
    found, wanted = histograms.quantile(histogram(values), share), exact(values, share)
    if wanted < np.finfo(np.float32).tiny:
        assert found == 0
    else:
        assert abs(found - wanted) <= histograms.RELATIVE_ERROR * wanted


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_bound_holds_on_a_large_sample_at_every_percentile(scale):
    values = np.random.default_rng(0).standard_cauchy(100_000).astype(np.float32) * scale
    made = histogram(values)
    assert made["count"].sum() == values.size
    for share in np.linspace(0.01, 1, 100):
        found, wanted = histograms.quantile(made, share), exact(values, share)
        assert abs(found - wanted) <= histograms.RELATIVE_ERROR * wanted


def test_half_precision_values_fall_where_their_float32_values_do():
    values = torch.linspace(-5, 5, 999)
    for dtype in (torch.bfloat16, torch.float16):
        rounded = values.to(dtype)
        assert torch.equal(histograms.counts(rounded), histograms.counts(rounded.float()))


def test_histograms_add_exactly():
    values = np.random.default_rng(1).normal(size=1000).astype(np.float32)
    parts = [histograms.counts(torch.from_numpy(part)) for part in np.split(values, [17, 400])]
    assert torch.equal(sum(parts), histograms.counts(torch.from_numpy(values)))


def test_a_histogram_of_nothing_has_no_quantile():
    with pytest.raises(UserError, match="without values"):
        histograms.quantile(histogram([]), 0.5)


def test_shares_count_as_the_decimals_that_they_are_written_as():
    # 0.07 * 100 is above 7 in floats.
    made = histogram(np.arange(1, 101))
    for share in (0.07, 0.14, 0.28, 0.55, 0.56):
        assert histograms.quantile(made, share) == pytest.approx(100 * share, rel=1 / 128)


def test_interpolated_quantiles_grow_without_jumps_and_stay_within_a_bin():
    """Half of the values in one bin: what lies in it is told apart by share."""
    values = torch.cat([torch.linspace(1.0, 1.0155, 500), torch.logspace(0.1, 3, 500)])
    magnitudes = histograms.Magnitudes(histogram(values))
    shares = np.linspace(0.001, 0.999, 301)
    found = np.array([magnitudes.interpolated(share) for share in shares])
    wanted = np.quantile(values.numpy(), shares, method="inverted_cdf")
    assert (np.diff(found) > 0).all()
    assert (np.abs(found / wanted - 1) <= 2 * histograms.RELATIVE_ERROR + 1e-7).all()

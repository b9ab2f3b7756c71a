"""The compiled loops count as torch and numpy do."""

import numpy as np
import pytest
import torch

from pipeline.numerics import compiled, histograms

SPECIAL = [0.0, -0.0, 1e-40, float("nan"), -float("nan"), float("inf"), float("-inf"), 3e38]


@pytest.mark.skipif(not compiled.available(), reason="the C++ library is not built")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_bins_are_counted_as_torch_counts_them(dtype):
    values = torch.randn(7, 33, generator=torch.Generator().manual_seed(0)).exp() - 1
    values[:, 0] = torch.tensor(SPECIAL[:7])
    held = torch.zeros(2, histograms.BINS, dtype=torch.int64)
    wanted = torch.zeros(histograms.BINS, dtype=torch.int64)
    for part in (values, values[:, 3:8], values[2:2], torch.tensor(SPECIAL)):
        compiled.count_bins(part.to(dtype), held)
        wanted += histograms.counts(part.to(dtype))
    assert held.sum(0).equal(wanted) and wanted.sum() == 7 * 33 + 7 * 5 + 8


@pytest.mark.skipif(not compiled.available(), reason="the C++ library is not built")
@pytest.mark.parametrize("channels", [1, 3, 4, 7, 64])
@pytest.mark.parametrize("tokens", [1, 128, 300])
def test_moments_are_those_of_numpy(tokens, channels):
    generator = torch.Generator().manual_seed(channels)
    values = torch.randn(tokens, channels, generator=generator).exp() - 1
    values[::7, 0] = 0.0
    values[-1, -1] = float("-inf")
    values[tokens // 2, 0] = float("nan")
    above = torch.linspace(0.1, 1, channels)
    sums, most = torch.zeros(4, channels, dtype=torch.float64), torch.zeros(channels)
    nonfinite = torch.zeros(channels, dtype=torch.int64)
    for part in values.split(200):
        compiled.add_moments(part, above, sums, most, nonfinite)
    exact = values.double().numpy()
    finite = np.isfinite(exact)
    exact = np.where(finite, np.abs(exact), 0)
    assert nonfinite.tolist() == (~finite).sum(0).tolist()
    assert most.tolist() == exact.max(0).tolist()
    assert sums[0].numpy() == pytest.approx(exact.sum(0), rel=1e-5)
    assert sums[1].numpy() == pytest.approx((exact**2).sum(0), rel=1e-5)
    assert sums[2].tolist() == (exact > 0).sum(0).tolist()
    assert sums[3].tolist() == (exact > above.numpy()).sum(0).tolist()
    before = sums[3].clone()
    compiled.add_moments(values, None, sums, most, nonfinite)
    assert sums[3].equal(before)


def test_without_the_library_there_is_no_loop(tmp_path, monkeypatch):
    monkeypatch.setattr(compiled, "_LIBRARY", tmp_path / "missing.so")
    monkeypatch.setattr(compiled, "_library", compiled._library.__wrapped__)
    assert not compiled.available()
    with pytest.raises(ValueError, match="not built"):
        compiled.count_bins(torch.zeros(1), torch.zeros(2, histograms.BINS, dtype=torch.int64))

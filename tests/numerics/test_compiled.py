"""The compiled loop counts as torch does."""

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


def test_without_the_library_there_is_no_loop(tmp_path, monkeypatch):
    monkeypatch.setattr(compiled, "_LIBRARY", tmp_path / "missing.so")
    monkeypatch.setattr(compiled, "_loop", compiled._loop.__wrapped__)
    assert not compiled.available()
    with pytest.raises(ValueError, match="not built"):
        compiled.count_bins(torch.zeros(1), torch.zeros(2, histograms.BINS, dtype=torch.int64))

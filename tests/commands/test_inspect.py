"""What is told of a profile."""

import json
import shutil

import pytest

from pipeline.__main__ import main
from pipeline.commands.inspect import inspect
from pipeline.commands.words import of_profile
from pipeline.errors import UserError
from pipeline.tables.neurons import CHANNELS, LAYERS, NEURONS
from pipeline.tables.sampled import ALWAYS_ACTIVE, PROMPT_OVERLAPS, TOKENS

KEY = "backbone.text-0123456789ab"


@pytest.fixture
def profile(tmp_path, manifest):
    """A profile of two layers of two neurons; returns the folder of merge_profile."""
    merged, sample = (tmp_path / stage / KEY for stage in ("merge_profile", "profile_sample"))
    counts = {(0, 0): 8, (0, 1): 2, (1, 0): 5, (1, 1): 0}
    NEURONS.write(
        merged / "neurons.parquet",
        [
            {
                "layer": layer, "neuron": neuron, "tokens": 10, "nonfinite": layer * (1 - neuron),
                "active_nonzero": n, "sum_abs": 1.0, "sum_square": 1.0, "max_abs": 1.0,
                "active_cett": n, "sum_contribution": 1.0, "weight_norm": 1.0, "down_norm": 1.0,
                "active": n,
            }
            for (layer, neuron), n in counts.items()
        ],
        manifest,
    )  # fmt: skip
    CHANNELS.write(
        merged / "channels.parquet",
        [
            {
                "layer": 0, "linears": linears, "channel": channel, "tokens": 10,
                "nonfinite": nonfinite, "active_nonzero": 10 - nonfinite, "sum_abs": 6.0 * square,
                "sum_square": square, "max_abs": 2.0 + channel,
            }
            for linears, nonfinite, squares in (("q,k,v", 0, (9.0, 1.0)), ("o", 10, (0.0, 0.0)))
            for channel, square in enumerate(squares)
        ],
        manifest,
    )  # fmt: skip
    LAYERS.write(
        merged / "layers.parquet",
        [
            {
                "layer": layer, "cett_threshold": 0.25, "cett": 0.2, "cett_tokens": 3,
                "tokens": 10, "natural_sparsity": sparsity, "zero_share": 0.0, "nonfinite": 0,
            }
            for layer, sparsity in ((0, 0.5), (1, 0.75))
        ],
        manifest,
    )  # fmt: skip
    TOKENS.write(
        sample / "tokens.parquet",
        [
            {
                "layer": layer, "sequence": 0, "position": n, "active": 1, "sparsity": 0.5,
                "cett": None, "overlap_previous": overlap,
            }
            for layer in (0, 1)
            for n, overlap in enumerate((None, 0.5, 1.0))
        ],
        manifest,
    )  # fmt: skip
    always = [(0, 1, 0.9, 4), (1, 1, 0.7, 4), (0, 2, 0.5, 3), (1, 2, 0.1, 3), (0, 4, 0.0, 1)]
    ALWAYS_ACTIVE.write(
        sample / "always_active.parquet",
        [dict(zip(ALWAYS_ACTIVE.columns, row, strict=True)) for row in always], manifest,
    )  # fmt: skip
    overlaps = [(0, 0, 1, 0, 3, 0.2, 0.1), (0, 1, 2, 0, 1, 0.6, 0.1)]
    PROMPT_OVERLAPS.write(
        sample / "prompt_overlaps.parquet",
        [dict(zip(PROMPT_OVERLAPS.columns, row, strict=True)) for row in overlaps], manifest,
    )  # fmt: skip
    return merged


def test_a_profile_by_hand(profile):
    found = inspect(profile)
    assert (found.profile, found.tokens, found.sampled_tokens) == (KEY, 10, 3)
    whole, first, second = found.scopes
    assert (whole.layer, whole.neurons, whole.natural_sparsity) == (None, 4, 0.625)
    # 8 + 5 of 15 carry 80 %; 8 of 10; 5 of 5.
    assert [scope.carry_80 for scope in found.scopes] == [0.5, 0.5, 0.5]
    assert (whole.never_active, second.never_active) == (0.25, 0.5)
    assert (whole.cett_threshold, first.cett_threshold) == (None, 0.25)
    assert (whole.nonfinite, first.nonfinite, second.nonfinite) == (1, 0, 1)
    assert first.overlap_previous == 0.75
    # Half of the sequences have two tokens, a quarter has four.
    assert found.always_active_length == 2
    assert [scope.always_active for scope in found.scopes] == pytest.approx([0.3, 0.5, 0.1])
    assert found.prompt_overlap == pytest.approx((3 * 0.2 + 0.6) / 4)


def test_what_linear_layers_read_by_hand(profile):
    read, broken = inspect(profile).inputs
    assert (read.layer, read.linears, read.channels) == (0, "q,k,v", 2)
    # 60 and 10 over 20 values; one channel of two is the largest hundredth.
    assert (read.mean, read.largest, read.top_carries) == (3.0, 3.0, 0.9)
    assert read.root_mean_square == pytest.approx(0.5**0.5)
    assert (broken.mean, broken.root_mean_square, broken.top_carries) == (None, None, None)


def test_either_folder_of_a_profile_will_do_and_no_other(profile, tmp_path):
    sample = profile.parent.parent / "profile_sample" / KEY
    assert inspect(sample) == inspect(profile)
    with pytest.raises(UserError, match="is not a profile; give a folder of results/shared"):
        inspect(tmp_path)
    shutil.rmtree(sample)
    with pytest.raises(
        UserError, match="a profile has two folders, and .*profile_sample.* is missing"
    ):
        inspect(profile)
    for wrong in (profile.parent, profile.parent / "other"):
        with pytest.raises(UserError, match=f"is not a profile; .*there are: {profile}"):
            inspect(wrong)


def test_the_command_tells_it_as_a_table_and_as_json(profile, capsys):
    assert main(["inspect", str(profile)]) == 0
    text = capsys.readouterr().out
    assert text == of_profile(inspect(profile))
    assert text.endswith("outlying channels make it large\n")
    assert text.count("  q, k, v\n") == 1
    assert "intersection over union: 30.0%, mean over positions (10.0% by chance)" in text
    assert main(["inspect", str(profile), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scopes"][1]["natural_sparsity"] == 0.5

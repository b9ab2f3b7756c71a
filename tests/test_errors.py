"""Where a user's error is said to lie."""

from pathlib import Path

import pytest

from pipeline.errors import UserError, putting_together


def test_shards_that_do_not_fit_are_told_with_their_folder():
    shards = [Path(f"results/shared/profile_shard/key/{n}-of-2/blocks.parquet") for n in range(2)]
    named = "^results/shared/profile_shard/key: remove them$"
    with pytest.raises(UserError, match=named), putting_together(shards):
        raise UserError("remove them")
    with pytest.raises(UserError, match="^alone$"), putting_together([]):
        raise UserError("alone")

"""The profile of a model in memory is the one that the stages' steps give."""

from pipeline.config.profile import Profile
from pipeline.profiling.merge import merge_neurons
from pipeline.profiling.sample import profile_sample
from pipeline.profiling.shard import magnitudes, profile_shard
from pipeline.profiling.whole import profile_whole
from pipeline.tables.sampled import NORMS, THRESHOLDS

TEXT = [[1, *range(5 + n, 15 + n), 2] for n in range(11)]


def test_any_number_of_shards_gives_the_profile_of_the_whole(make_model):
    model = make_model(hidden_act="silu")
    config = Profile(blocks=4, batch_size=3)
    whole = profile_whole(model, TEXT, [0, 1, 2], config)
    sample = profile_sample(model, TEXT, [0, 1, 2], config)
    norms = NORMS.frame(sample["norms"])
    above = magnitudes(THRESHOLDS.frame(sample["thresholds"]), norms)
    assert all((one == other).all() for one, other in zip(whole.above, above, strict=True))
    shards = [profile_shard(model, TEXT, [0, 1, 2], above, config, n, 3)[0] for n in range(3)]
    merged = merge_neurons(shards, config.blocks, norms, exact_zeros=False)
    assert whole.neurons.equals(merged.select(whole.neurons.columns).cast(whole.neurons.schema))


def test_more_blocks_than_sequences_are_no_matter(make_model):
    whole = profile_whole(make_model(), TEXT[:2], [0, 1, 2], Profile(blocks=7))
    assert whole.neurons["tokens"].to_list() == [20] * 48

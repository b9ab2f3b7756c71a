"""Intervals of paired differences, by hand, by published formula, and by simulation."""

import numpy as np
import pytest
from scipy import stats

from pipeline.analysis.intervals import Changes, interval, share_interval

Z = 1.959964


def changes(gained=0, lost=0, of=150, cluster=1):
    """Questions of which some are gained and some lost, each asked `cluster` times."""
    values = np.zeros(of)
    values[:gained], values[gained : gained + lost] = 1, -1
    return Changes(np.repeat(values, cluster), np.repeat(np.arange(of), cluster))


def agresti_min(gained, lost, of):
    """The Wald interval of the table of pairs with half a question in each of its four cells."""
    size, one, other = of + 2, gained + 0.5, lost + 0.5
    centre = (one - other) / size
    reach = Z * np.sqrt((one + other - (one - other) ** 2 / size) / size**2)
    return centre - reach, centre + reach


def test_the_interval_has_a_width_where_no_question_changes():
    # Two halves that change: 1.96 / 152.
    low, high = interval([changes()], [], 0.95)
    assert (low, high) == pytest.approx((-0.012895, 0.012895), abs=1e-6)


@pytest.mark.parametrize(
    ("gained", "lost", "of"), [(0, 0, 40), (1, 0, 40), (7, 3, 50), (20, 1, 60), (0, 25, 100)]
)
def test_one_task_and_one_seed_are_agresti_and_mins(gained, lost, of):
    found = interval([changes(gained, lost, of)], [], 0.95)
    assert found == pytest.approx(agresti_min(gained, lost, of))


def test_a_table_of_pairs_by_hand():
    # 8 gained and 2 lost of 48: 6 / 50, and (11 - 36 / 50) / 50^2.
    one = changes(8, 2, 48)
    assert one.centre == pytest.approx(0.12)
    assert one.variance == pytest.approx(10.28 / 2500)
    assert interval([one], [], 0.95) == pytest.approx((-0.005681, 0.245681), abs=1e-5)


def test_ends_join_from_no_change_to_many_and_always_hold_the_estimate():
    found = [interval([changes(gained)], [], 0.95) for gained in range(151)]
    for gained, (low, high) in enumerate(found):
        assert low <= gained / 150 <= high
    lows, highs = np.array(found).T
    # Each question moves both ends up, by no more than two and a half questions.
    for ends in (lows, highs):
        steps = 150 * np.diff(ends[:76])
        assert steps.min() > 0 and steps.max() < 2.5


def test_gained_and_lost_are_mirrored():
    low, high = interval([changes(9, 2, 80)], [], 0.9)
    assert interval([changes(2, 9, 80)], [], 0.9) == pytest.approx((-high, -low))


def test_all_that_change_alike_leave_a_width_and_the_estimate_inside():
    low, high = interval([changes(0, 50, 50)], [], 0.95)
    assert low < -1 and high == pytest.approx(agresti_min(0, 50, 50)[1])
    assert -0.95 < high < -0.85


def test_a_narrow_interval_holds_its_estimate_too():
    # At 60 % the ends about the centre, 50 / 52, would leave out the estimate.
    assert interval([changes(0, 50, 50)], [], 0.6)[0] == -1
    assert interval([changes(50, 0, 50)], [], 0.6)[1] == 1


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 0), (12, 5)])
@pytest.mark.parametrize("cluster", [2, 5])
def test_questions_asked_several_times_count_once(gained, lost, cluster):
    whole = interval([changes(gained, lost, 60)], [], 0.95)
    assert interval([changes(gained, lost, 60, cluster)], [], 0.95) == pytest.approx(whole)


def test_questions_of_one_cluster_that_change_alike_widen_the_interval():
    values = np.array([1.0] * 10 + [0.0] * 50)
    apart = Changes(values, np.arange(60))
    # The ten that change are two clusters of five, and so are the others.
    together = Changes(values, np.arange(60) // 5)
    low, high = interval([apart], [], 0.95)
    wide = interval([together], [], 0.95)
    assert 2 < (wide[1] - wide[0]) / (high - low) < 2.4


def test_clusters_that_cancel_out_narrow_the_interval():
    values = np.tile([1.0, -1.0], 30)
    apart, paired = (Changes(values, of) for of in (np.arange(60), np.arange(60) // 2))
    one, other = (interval([task], [], 0.95)[1] for task in (apart, paired))
    assert other < one / 4


def test_the_mean_over_tasks_weighs_tasks_alike():
    few, many = changes(5, 0, 20), changes(10, 20, 400)
    low, high = interval([few, many], [], 0.95)
    centre = (few.centre + many.centre) / 2
    reach = Z * np.sqrt(few.variance + many.variance) / 2
    assert (low, high) == pytest.approx((centre - reach, centre + reach))
    assert low <= (5 / 20 - 10 / 400) / 2 <= high


def test_more_tasks_of_one_kind_narrow_the_interval_by_the_root():
    one = interval([changes(10, 10, 100)], [], 0.95)
    four = interval([changes(10, 10, 100)] * 4, [], 0.95)
    assert four[1] == pytest.approx(one[1] / 2)


def test_two_seeds_are_a_wide_t_interval():
    # Seeds that differ by 0.2: a standard error of 0.1 on one degree of freedom, whose quantile is
    # 12.706; the questions' own variance is small beside it.
    seeds = np.array([0.4, 0.6])
    low, high = interval([changes(0, 0, 10_000)], [seeds], 0.95)
    assert high == pytest.approx(1.2706, rel=0.01) and low == pytest.approx(-high)


def test_the_quantile_is_satterthwaites():
    task, seeds = changes(5, 5, 98), np.array([0.5, 0.54, 0.46])
    drawn, items = 0.0016 / 3, 11 / 100**2
    assert task.variance == pytest.approx(items)
    freedom = (drawn + items) ** 2 / (drawn**2 / 2)
    reach = stats.t.ppf(0.975, freedom) * np.sqrt(drawn + items)
    assert interval([task], [seeds], 0.95) == pytest.approx((-reach, reach))
    # Between a normal quantile, of questions alone, and a t of two, of seeds alone.
    assert Z < stats.t.ppf(0.975, freedom) < stats.t.ppf(0.975, 2)


def test_both_sides_of_a_difference_bring_their_seeds():
    task, seeds = changes(5, 5, 98), np.array([0.5, 0.54, 0.46])
    one, two = (interval([task], [seeds] * count, 0.95) for count in (1, 2))
    drawn = 0.0016 / 3
    freedom = (2 * drawn + 0.0011) ** 2 / (2 * drawn**2 / 2)
    reach = stats.t.ppf(0.975, freedom) * np.sqrt(2 * drawn + 0.0011)
    assert two == pytest.approx((-reach, reach)) and two[1] > one[1]


def test_seeds_that_agree_change_nothing():
    task = changes(5, 5, 98)
    alike = interval([task], [np.array([0.5, 0.5, 0.5])], 0.95)
    assert alike == interval([task], [], 0.95)


def covered(made, truth):
    """Share of studies whose interval holds the truth; `made` gives (tasks, seeds) of a study."""
    found = [interval(*study, 0.95) for study in made]
    return float(np.mean([low <= truth <= high for low, high in found]))


@pytest.mark.parametrize(("gain", "loss"), [(0.02, 0.02), (0.05, 0.15), (0.1, 0.4)])
def test_intervals_over_questions_cover_as_they_say(gain, loss):
    generator = np.random.default_rng(1)
    drawn = generator.random((1000, 100))
    values = np.where(drawn < gain, 1.0, np.where(drawn < gain + loss, -1.0, 0.0))
    studies = [([Changes(row, np.arange(100))], []) for row in values]
    assert 0.93 <= covered(studies, gain - loss) <= 0.985


@pytest.mark.parametrize("spread", [0.05, 0.12])
def test_intervals_over_five_unlike_draws_cover_the_mean_of_all_draws(spread):
    """100 questions of unlike hardness, of which a draw gets about 0.6 right."""
    generator = np.random.default_rng(2)
    studies = []
    for _ in range(600):
        able = 0.6 + spread * generator.standard_normal((5, 1))
        hard = generator.uniform(-0.2, 0.2, 100)
        right = (generator.random((5, 100)) < np.clip(able + hard, 0, 1)).astype(float)
        # The dense model gets all right.
        lost = Changes(1 - right.mean(axis=0), np.arange(100))
        studies.append(([lost], [right.mean(axis=1)]))
    assert 0.93 <= covered(studies, 0.4) <= 0.985


def test_without_their_seeds_unlike_draws_would_not_be_covered():
    generator = np.random.default_rng(2)
    right = generator.random((400, 5, 100)) < 0.6 + 0.12 * generator.standard_normal((400, 5, 1))
    studies = [([Changes(1 - own.mean(axis=0), np.arange(100))], []) for own in right.astype(float)]
    assert covered(studies, 0.4) < 0.8


def test_a_share_is_pulled_to_a_half_and_stays_a_share():
    # 9 of 18, and a half right and a half wrong more: 10 / 20, and (18 / 4 + 1) / 20^2.
    right = Changes(np.repeat([1.0, 0.0], 9), np.arange(18))
    reach = Z * np.sqrt(5.5) / 20
    assert share_interval([right], [], 0.95) == pytest.approx((0.5 - reach, 0.5 + reach))
    for share in (0.0, 1.0):
        low, high = share_interval([Changes(np.full(20, share), np.arange(20))], [], 0.95)
        assert 0 <= low <= share <= high <= 1
        assert 0.1 < high - low < 0.2


@pytest.mark.parametrize("share", [0.03, 0.1, 0.5, 0.9, 0.97])
@pytest.mark.parametrize("size", [20, 100])
def test_intervals_of_shares_cover_as_they_say_near_both_ends(share, size):
    hits = np.arange(size + 1)
    ends = [
        share_interval([Changes((np.arange(size) < k).astype(float), np.arange(size))], [], 0.95)
        for k in hits
    ]
    inside = np.array([low <= share <= high for low, high in ends])
    assert stats.binom.pmf(hits, size, share)[inside].sum() >= 0.93

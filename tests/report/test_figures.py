"""Figures of accuracy lost: what is drawn, from which numbers, in which order."""

import json
import xml.etree.ElementTree as ElementTree

import pytest

from pipeline.config.roles import ARM, COLDEST, CONTROL, HOTTEST, METHOD, RANDOM
from pipeline.report.looks import looks
from pipeline.report.render import spec_text, svg
from pipeline.report.sections.accuracy_lost import main_figure as with_draws
from pipeline.report.sections.tasks import task_figure as of_tasks
from tests.report.conftest import METHODS

ROLES = {
    "cold": (ARM, COLDEST), "hot": (ARM, HOTTEST), "drawn": (CONTROL, RANDOM),
    "small": (CONTROL, None), "idle": (CONTROL, None),
}  # fmt: skip


def methods(**roles):
    """Rows of Study.methods, as far as looks are decided by them: role and order by name."""
    return [{"name": name, "role": role, "order": order} for name, (role, order) in roles.items()]


def main_figure(rows, models, removals=()):
    """The main figure; without `removals` no draw is a dot."""
    return with_draws(rows, list(removals), models, METHODS)


def task_figure(rows, models):
    """The figure of all tasks."""
    return of_tasks(rows, models, METHODS)


def values(spec, part="curve"):
    """The data of a spec's curves, zero lines or cold rules."""
    (rows,) = spec["datasets"].values()
    return [row for row in rows if row["part"] == part]


def marks(spec):
    return [layer["mark"]["type"] for layer in spec["spec"]["layer"]]


def test_main_figure_draws_the_pooled_task_in_percent_and_points(curves, finding):
    drawn = values(main_figure(curves, finding["models"]))
    assert {row["task"] for row in drawn} == {"reasoning"}
    (cold,) = (row for row in drawn if (row["model"], row["level"]) == ("ref-reglu", "cold"))
    assert cold["sparsity"] == pytest.approx(62.0)
    assert cold["loss"] == pytest.approx(12.4)
    assert (cold["low"], cold["high"]) == (pytest.approx(9.4), pytest.approx(16.4))


def test_every_draw_of_a_method_with_several_is_a_dot(curves, removals, finding):
    dots = values(main_figure(curves, finding["models"], removals), "draw")
    assert {row["method"] for row in dots} == {"drop_random"} and len(dots) == 2 * 5
    own = [row for row in dots if row["model"] == "ref-reglu"]
    assert [row["loss"] for row in own] == pytest.approx([4.0, 5.0, 6.0, 7.0, 8.0])
    assert [row["sparsity"] for row in dots] == pytest.approx([10.0] * 10)
    drawn, without = (
        _marks(svg(main_figure(curves, finding["models"], own)), "symbol") for own in (removals, [])
    )
    assert len(drawn) - len(without) == 2 * 5


def test_draws_that_are_on_no_curve_or_have_no_loss_are_no_dots(make_curve, removals, finding):
    rows = [make_curve(method="drop_random"), make_curve(method="drop_random", level="1")]
    others = [row | {"level": "1"} for row in removals] + [row | {"loss": None} for row in removals]
    assert values(main_figure(rows, finding["models"], others), "draw") == []
    assert len(values(main_figure(rows, finding["models"], removals), "draw")) == 5


def test_dots_do_not_change_where_curves_lie(curves, removals, finding):
    one, other = (main_figure(curves, finding["models"], own) for own in ([], removals))
    assert values(one) == values(other)


def test_x_is_imposed_and_not_total_sparsity(make_curve):
    row = make_curve(neuron_sparsity_imposed=0.3, neuron_sparsity_total=0.9, level="0.7")
    (point,) = values(main_figure([row], []))
    assert point["sparsity"] == pytest.approx(30.0)


@pytest.mark.parametrize("figure", [main_figure, task_figure])
def test_the_dense_run_is_no_method(figure, curves, finding):
    spec = figure(curves, finding["models"])
    assert "dense" not in {row["method"] for row in values(spec)}
    assert '"dense"' not in json.dumps(spec)


def test_the_cold_rule_stands_at_one_minus_the_hot_share(curves, finding):
    finding["models"][1]["hot"] = 250
    rules = values(main_figure(curves, finding["models"]), "cold")
    assert {row["model"]: row["sparsity"] for row in rules} == {
        "ref-reglu": pytest.approx(62.0),
        "ref-swiglu": pytest.approx(75.0),
    }
    assert [row["label"] for row in rules] == ["cold set: 62%", "cold set: 75%"]


def test_models_stand_in_the_findings_order(curves, finding):
    turned = list(reversed(finding["models"]))
    assert main_figure(curves, turned)["facet"]["sort"] == ["ref-swiglu", "ref-reglu"]


def test_a_facet_has_one_zero_line(curves, finding):
    zeros = values(task_figure(curves, finding["models"]), "zero")
    assert len(zeros) == len({(row["model"], row["task"]) for row in zeros}) == 2 * 3
    assert {row["loss"] for row in zeros} == {0.0}


def test_task_figure_has_every_task_but_the_mean_and_names_controls(curves, finding):
    spec = task_figure(curves, finding["models"])
    assert spec["facet"]["row"]["sort"] == ["addition", "multihop", "copying (control)"]
    assert {row["task"] for row in values(spec)} == {"addition", "multihop", "copying (control)"}


def test_order_of_rows_does_not_matter(curves, finding):
    for figure in (main_figure, task_figure):
        turned = figure(list(reversed(curves)), finding["models"])
        assert spec_text(turned) == spec_text(figure(curves, finding["models"]))


def test_a_curve_is_drawn_along_sparsity_and_not_along_the_text_of_levels(make_curve):
    shares = {"hot": 0.05, "0.5": 0.5, "0.1": 0.1, "cold": 0.3}
    rows = [make_curve(level=k, neuron_sparsity_imposed=v) for k, v in shares.items()]
    drawn = sorted(values(main_figure(rows, [])), key=lambda row: row["order"])
    assert [row["level"] for row in drawn] == ["hot", "0.1", "cold", "0.5"]


def test_arms_are_solid_and_controls_dashed():
    styles = looks(ROLES, methods(**ROLES))
    assert list(styles) == list(ROLES)
    solid = [name for name, look in styles.items() if look.dash == (1, 0)]
    assert solid == ["cold", "hot"]
    controls = set(ROLES) - set(solid)
    assert min(styles[n].width for n in solid) > max(styles[n].width for n in controls)


def test_looks_go_by_roles_and_not_by_names():
    renamed = methods(**{f"my_{name}": role for name, role in ROLES.items()})
    one = looks(ROLES, methods(**ROLES))
    other = looks([row["name"] for row in renamed], renamed)
    assert {f"my_{name}": look for name, look in one.items()} == other


def test_the_first_of_a_role_has_its_look_in_every_figure():
    two = methods(cold=(ARM, COLDEST), again=(ARM, COLDEST), teal=(METHOD, None))
    both = looks(["cold", "again", "teal"], two)
    assert list(both) == ["cold", "again", "teal"]
    assert both["again"].colour != both["cold"].colour
    alone = looks(["again"], two)
    assert alone["again"] != both["cold"]


def test_more_controls_than_greys_are_drawn_in_colour():
    controls = {f"control{index}": (CONTROL, None) for index in range(9)}
    styles = looks(controls, methods(**controls))
    assert set(styles) == set(controls)
    assert len({(look.colour, look.dash) for look in styles.values()}) == len(controls)


def test_every_method_looks_different():
    names = [*ROLES, *(f"method{index}" for index in range(20))]
    styles = looks(names, methods(**ROLES))
    assert set(styles) == set(names)
    assert len({(look.colour, look.dash) for look in styles.values()}) == len(names)


def test_any_method_names_are_drawn_as_they_are(make_curve):
    names = ["a.b[0]", 'it\'s "quoted"', "<b>&amp;"]
    levels = {"0.1": 0.1, "0.2": 0.2}
    spec = main_figure(
        [
            make_curve(method=name, level=level, neuron_sparsity_imposed=share)
            for name in names
            for level, share in levels.items()
        ],
        [],
    )
    legend = spec["spec"]["layer"][marks(spec).index("point")]["encoding"]["color"]
    assert sorted(legend["scale"]["domain"]) == sorted(names)
    drawn = svg(spec)
    assert "a.b[0]" in drawn
    assert "&lt;b&gt;" in drawn
    assert "<b>" not in drawn
    assert _lines(drawn) == len(names)


def test_both_figures_share_the_colours_of_methods(curves, finding):
    def scale(spec):
        return spec["spec"]["layer"][marks(spec).index("point")]["encoding"]["color"]["scale"]

    one, other = (figure(curves, finding["models"]) for figure in (main_figure, task_figure))
    assert scale(one) == scale(other)


@pytest.mark.parametrize("figure", [main_figure, task_figure])
@pytest.mark.parametrize("method", ["drop_cold", "dense"])
def test_nothing_evaluated_is_said_in_words(figure, method, make_curve, finding):
    rows = [make_curve(method="dense", level="0")] if method == "dense" else []
    assert "No condition was evaluated" in svg(figure(rows, finding["models"]))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_any_number_of_models_has_a_facet_each(count, make_curve):
    names = [f"model-{index}" for index in range(count)]
    drawn = svg(main_figure([make_curve(model=name) for name in names], []))
    assert all(f">{name}<" in drawn for name in names)


def test_a_model_without_an_evaluated_condition_keeps_its_facet(curves, finding):
    own = [row for row in curves if row["model"] == "ref-reglu"]
    assert ">ref-swiglu<" in svg(main_figure(own, finding["models"]))


def test_a_single_level_is_drawn(make_curve, finding):
    drawn = svg(main_figure([make_curve()], finding["models"][:1]))
    assert ">drop_cold<" in drawn
    assert ">cold set: 62%<" in drawn


def test_single_parts_make_no_curve(make_curve, finding):
    rows = [make_curve(), make_curve(method="one_part", level="3")]
    for figure in (main_figure, task_figure):
        alone = figure(rows[1:], finding["models"])
        assert "so there is no curve" in json.dumps(alone)
        assert "one_part" not in json.dumps(figure(rows, finding["models"]))


def _marks(drawn, kind):
    """Paths of the marks of one kind in an SVG's text."""
    groups = ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}g")
    of_kind = (g for g in groups if g.attrib.get("class", "").startswith(f"mark-{kind}"))
    return [path for group in of_kind for path in group]


def _lines(drawn):
    """Curves that are drawn with at least one stroke."""
    return sum("L" in path.attrib["d"] for path in _marks(drawn, "line"))

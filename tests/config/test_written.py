"""Defaults that methods share and grids of methods: what they make, and what is refused."""

import pytest

from pipeline.config.level import Level
from pipeline.config.study import parse_study
from pipeline.config.written import name_of, words_of
from pipeline.errors import UserError


@pytest.fixture
def methods(study_values):
    """A function: entries, defaults -> the methods that they make, by name."""

    def made(entries, **defaults):
        study_values["analysis"].pop("reference_level", None)
        study_values["methods"] = entries
        if defaults:
            study_values["method_defaults"] = defaults
        return parse_study(study_values).methods

    return made


@pytest.fixture
def refusal(methods):
    """A function: entries, defaults -> the lines of the refusal after its first."""

    def told(entries, **defaults):
        with pytest.raises(UserError) as refused:
            methods(entries, **defaults)
        first, *lines = str(refused.value).splitlines()
        assert first == "the configuration is refused:"
        return [line.strip() for line in lines]

    return told


TEAL = {"sparsifier": "teal", "corpus": "reasoning", "levels": [0.5]}
SHARED = {"corpus": "reasoning", "levels": [0.5]}


def test_a_method_has_the_shared_keys_that_it_does_not_give(methods):
    made = methods(
        {"one": {"sparsifier": "teal"}, "two": {"sparsifier": "wina", "levels": [0.25]},
         "three": {"weights": "wanda", "measure": None}},
        measure="neuron_sparsity", seeds=[3], **SHARED,
    )  # fmt: skip
    assert [each.levels for each in made.values()] == [(Level(0.5),), (Level(0.25),), (Level(0.5),)]
    assert [each.measure for each in made.values()] == ["neuron_sparsity"] * 2 + [None]
    assert {each.seeds for each in made.values()} == {(3,)}


def test_shared_options_are_those_of_every_part_of_that_name(methods):
    made = methods(
        {
            "by_name": {"sparsifier": "teal", "compensation": "spon"},
            "with_another": {"compensation": {"name": "spon", "sites": "all"}},
            "with_its_own": {"compensation": {"name": "spon", "steps": 9}},
            "as_written_out": {"compensation": {"name": "spon", "options": {"batch": 2}}},
            "other": {"compensation": "spon_dense"},
            "grid": {"grid": {"compensation": ["spon"]}},
        },
        options={"spon": {"steps": 7}}, corpus="reasoning", levels=["whole"],
    )  # fmt: skip
    steps = {name: method.compensation.options["steps"] for name, method in made.items()}
    assert steps == {
        "by_name": 7, "with_another": 7, "with_its_own": 9, "as_written_out": 7, "other": 300,
        "grid_spon": 7,
    }  # fmt: skip
    assert made["with_another"].compensation.options["sites"] == "all"
    assert made["as_written_out"].compensation.options["batch"] == 2


def test_a_shared_part_may_have_shared_options(methods):
    made = methods({"one": SHARED}, compensation="spon", options={"spon": {"steps": 7}})
    assert made["one"].compensation.options["steps"] == 7


def test_a_grid_makes_a_method_of_every_combination_in_its_place(methods):
    made = methods(
        {
            "first": TEAL,
            "bits": {
                **SHARED,
                "name": "{quantization}_{compensation}",
                "grid": {
                    "quantization": ["int8", "int4"],
                    "compensation": {"spon": "spon", "all": {"name": "spon", "sites": "all"}},
                },
                "sparsifier": "teal",
            },
            "last": TEAL,
        }
    )
    assert list(made) == ["first", "int8_spon", "int8_all", "int4_spon", "int4_all", "last"]
    assert made["int4_all"].quantization.name == "int4"
    assert made["int4_all"].compensation.options["sites"] == "all"
    assert made["int8_spon"].compensation.options["sites"] == "down"
    assert {method.sparsifier.name for method in made.values()} == {"teal"}


def test_without_a_name_all_words_are_put_together(methods):
    grid = {"quantization": [None, "int8"], "compensation": {"": None, "mean": "mean_bias"}}
    made = methods({"teal": {**TEAL, "grid": grid}})
    assert list(made) == ["teal", "teal_mean", "teal_int8", "teal_int8_mean"]
    assert made["teal"].quantization is None and made["teal"].compensation is None


def test_a_grid_may_hold_the_keys_that_a_method_needs(methods):
    made = methods(
        {"teal": {"sparsifier": "teal", "levels": [0.5], "grid": {"corpus": ["reasoning"]}}}
    )
    assert made["teal_reasoning"].corpus == "reasoning"


def test_a_grid_goes_over_a_shared_key(methods):
    grid = {"measure": {"": None, "neurons": "neuron_sparsity"}}
    made = methods(
        {"teal": {"sparsifier": "teal", "grid": grid}}, measure="neuron_sparsity", **SHARED
    )
    assert [method.measure for method in made.values()] == [None, "neuron_sparsity"]


@pytest.mark.parametrize(
    ("template", "words", "name"),
    [
        ("{method}_{a}", {"method": "m", "a": "x"}, "m_x"),
        ("{method}_{a}", {"method": "m", "a": ""}, "m"),
        ("{a}_{method}", {"method": "m", "a": ""}, "m"),
        ("{a}{method}", {"method": "m", "a": ""}, "m"),
        ("{method}.{a}-{b}", {"method": "m", "a": "", "b": "y"}, "m-y"),
        ("{a}_{b}", {"a": "", "b": ""}, ""),
        ("{a}_{a}", {"a": "x"}, "x_x"),
    ],
)
def test_with_an_empty_word_goes_the_mark_beside_it(template, words, name):
    assert name_of(template, words) == name


def test_the_words_of_a_list_are_its_values():
    assert words_of([None, "int8", 4]) == {"": None, "int8": "int8", "4": 4}
    assert words_of({"x": {"name": "spon"}}) == {"x": {"name": "spon"}}
    assert words_of({None: None, 8: "int8"}) == {"": None, "8": "int8"}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"grid": {"levels": [[0.5]]}}, "methods.m.grid.levels: unknown key. Allowed: "),
        ({"grid": {"quantisation": ["int8"]}}, "Did you mean 'quantization'?"),
        ({"grid": {"quantization": []}}, "[] is refused: give a list of values, or a mapping of"),
        ({"grid": {"quantization": "int8"}}, "'int8' is refused: give a list of values"),
        ({"grid": {"quantization": ["int8", "int8"]}}, "values must not repeat"),
        ({"grid": {"quantization": {8: "int8", "8": "int4"}}}, "words must differ as texts"),
        ({"grid": {"quantization": {None: "int8", "": "int4"}}}, "words must differ as texts"),
        ({"grid": {"quantization": ["int88"]}}, "unknown quantization 'int88'. Did you mean"),
        ({"grid": {"scope": ["block"]}}, "'block': Input should be 'layer' or 'model'"),
        ({"grid": {"compensation": [{"name": "spon"}]}}, "a value with options needs a word"),
        ({"grid": 3}, "methods.m.grid: 3 is refused: give keys and values"),
        ({"grid": {"sparsifier": ["wina"]}}, "methods.m.sparsifier: its grid holds that key too"),
        ({"name": "x"}, "methods.m.name: it names the methods of a grid, and this entry has none"),
        (
            {"grid": {"scope": ["layer"]}, "name": "{method}_{scop}"},
            "methods.m.name: {scop} stands for nothing; there are {method}, {scope}",
        ),
        (
            {"grid": {"scope": ["layer", "model"]}, "name": "{method}"},
            "methods.m: two methods of its grid are named 'm'; let `name` hold every key",
        ),
        ({"grid": {"scope": ["layer"]}, "name": "a b"}, "methods.a b: 'a b' is refused: a name is"),
    ],
)  # fmt: skip
def test_a_grid_is_refused_where_it_is_written(refusal, entry, said):
    (line,) = refusal({"m": TEAL | entry})
    assert line.startswith("methods.") and said in line


def test_two_entries_may_not_make_one_name(refusal):
    grid = {**TEAL, "grid": {"quantization": ["int8"]}}
    (line,) = refusal({"teal_int8": TEAL, "teal": grid})
    assert line == (
        "methods.teal: teal_int8 makes a method named 'teal_int8', too; rename one of them"
    )


@pytest.mark.parametrize(
    ("defaults", "said"),
    [
        ({"level": [0.5]}, "method_defaults.level: unknown key. Did you mean 'levels'?"),
        ({"levels": [7.5]}, "method_defaults.levels.0: 7.5 is refused: a level is a share"),
        ({"sparsifier": "teel"}, "method_defaults.sparsifier: unknown sparsifier 'teel'. Did you"),
        ({"grid": {"scope": ["layer"]}}, "method_defaults.grid: unknown key. Allowed: "),
        ({"options": {"spoon": {}}}, "unknown part of a method 'spoon'. Did you mean 'spon'?"),
        ({"options": {"spon": {"step": 1}}}, "spon has no option 'step'. Did you mean 'steps'?"),
        ({"options": {"spon": {"steps": 0}}}, "spon, steps: 0 is refused"),
    ],
)
def test_defaults_are_refused_where_they_are_written(refusal, defaults, said):
    (line,) = refusal({"m": TEAL}, **defaults)
    assert line.startswith("method_defaults.") and said in line


@pytest.mark.parametrize("form", [3, [], "corpus levels", None, ["corpus"]])
def test_what_is_out_of_form_holds_no_key(refusal, form):
    lines = refusal({"m": {"sparsifier": "teal", "grid": form}, 8: {"levels": [0.5]}, "n": form})
    assert {"methods.m.corpus", "methods.m.levels"} <= {line.partition(": ")[0] for line in lines}
    if form is not None:
        lines = refusal({"m": {"sparsifier": "teal"}}, corpus=form)
        assert any(line.startswith("method_defaults.corpus: ") for line in lines)


def test_defaults_that_are_no_keys_are_refused(methods, study_values):
    study_values["method_defaults"] = ["corpus"]
    study_values["methods"] = {"m": {"sparsifier": "teal"}}
    with pytest.raises(UserError, match="method_defaults: .* is refused: give keys and values"):
        parse_study(study_values)


def test_a_grid_has_an_end(refusal):
    words = {str(number): number for number in range(1001)}
    (line,) = refusal({"m": {**TEAL, "grid": {"sparse_from": words}}})
    assert line == (
        "methods.m.grid: it stands for 1,001 methods, and 1,000 are the most; give fewer "
        "values, or make several studies"
    )


def test_an_option_that_a_part_needs_may_be_left_to_its_methods(methods):
    assert methods({"m": TEAL}, options={"selective": {}})


def test_a_key_that_nothing_holds_is_missing(refusal):
    (line,) = refusal({"m": {"sparsifier": "teal", "levels": [0.5]}}, measure=None)
    assert line == "methods.m.corpus: this key is missing, and method_defaults does not hold it"


def test_a_fault_of_a_grids_method_tells_its_entry(refusal):
    grid = {"sparsifier": "teal", "levels": [0.5], "grid": {"corpus": {"x": "reasonin"}}}
    (line,) = refusal({"teal": grid})
    assert line.startswith("methods.teal_x.corpus: unknown corpus 'reasonin'. Did you mean")
    assert line.endswith("(teal_x is of the grid of methods.teal)")


def test_all_faults_are_told_at_once_where_they_are_written(refusal, study_values):
    study_values["seed"] = -1
    lines = refusal(
        {"m": TEAL | {"grid": {"scope": ["block"]}}, "n": {"levels": [0.5]}}, measure="all"
    )
    starts = [line.partition(": ")[0] for line in lines]
    assert sorted(starts) == [
        "method_defaults.measure", "methods.m.grid.scope", "methods.n.corpus", "seed"
    ]  # fmt: skip


def test_the_classification_of_all_methods_is_of_those_alone_that_go_by_one(study_values):
    """So that another policy fits no others anew; what a method gives itself is refused instead."""
    study_values["method_defaults"] = {"classification": "coverage80", "corpus": "reasoning"}
    predicted = {"name": "predicted", "neurons": "hot_only"}
    study_values["methods"] = {
        "cold": {"sparsifier": "drop_cold", "levels": [0.25]},
        "hot_only": {"sparsifier": predicted, "levels": [0.25]},
        "predicted": {"sparsifier": "predicted", "levels": [0.25]},
        "teal": {"sparsifier": {"name": "teal"}, "levels": [0.25]},
        "bits": {"grid": {"quantization": ["int8", "int4"]}, "levels": ["whole"]},
        "wanda": {"weights": "wanda", "levels": [0.5]},
    }
    del study_values["analysis"]
    methods = parse_study(study_values).methods
    assert {name for name, method in methods.items() if method.classification} == {
        "cold", "hot_only"
    }  # fmt: skip

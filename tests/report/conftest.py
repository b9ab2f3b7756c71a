"""Invented analysis results: two models, three methods, two reasoning tasks and a control."""

import pytest

MODELS = ("ref-reglu", "ref-swiglu")
TASKS = {"addition": True, "multihop": True, "copying": False}
LEVELS = {
    "dense": ((("0", 0.0),)),
    "drop_cold": (("0.1", 0.1), ("0.5", 0.5), ("cold", 0.62)),
    "keep_cold": (("0.1", 0.1), ("hot", 0.38)),
    "drop_random": (("0.1", 0.1),),
}
SENTENCES = ["The cold set costs 12.4 points [9.4, 16.4].", "Coldness itself matters."]
METHODS = [
    {
        "name": "drop_cold", "label": "coldest first", "role": "arm", "order": "coldest",
        "parts": {"sparsifier": {"name": "drop_cold", "options": {}}},
        "corpus": "reasoning", "measure": "neurons_removed", "sparse_from": "start",
        "scope": "layer",
    },
    {
        "name": "as_model", "label": "drawn at random", "role": "control", "order": "random",
        "parts": {"sparsifier": {"name": "drop_random", "options": {"match": "cold_of_model"}}},
        "corpus": "reasoning", "measure": "neurons_removed", "sparse_from": "start",
        "scope": "model",
    },
    {
        "name": "both", "label": "Wanda, int4", "role": "method", "order": None,
        "parts": {
            "weights": {"name": "wanda", "options": {"pattern": "2:4", "share": None}},
            "quantization": {"name": "int4", "options": {"group": 32}},
        },
        "corpus": "prose", "measure": None, "sparse_from": "start", "scope": None,
    },
]  # fmt: skip
_COSTS = {"dense": 0.0, "drop_cold": 0.2, "keep_cold": 1.4, "drop_random": 0.6}


def curve(model="ref-reglu", method="drop_cold", level="0.1", task="reasoning", **changes):
    """A row of CURVES with plausible figures."""
    share = float(dict(LEVELS.get(method, ())).get(level, 0.25))
    loss = share * _COSTS.get(method, 0.5)
    row = {
        "model": model,
        "method": method,
        "level": level,
        "measure": None if method == "dense" else "neurons_removed",
        "task": task,
        "reasoning": TASKS.get(task, True),
        "seeds": 5 if method == "drop_random" else 1,
        "activity_removed": None if method == "dense" else share / 4,
        "contribution_removed": None if method == "dense" else share / 5,
        "left_out": None,
        "n": 400 if task == "reasoning" else 200,
        "nonfinite": 0,
        "out_of_form": 0.25 * share if TASKS.get(task, True) else None,
        "accuracy": 0.875 - loss,
        "accuracy_dense": 0.875,
        "chance": 0.25,
        "loss": loss,
        "loss_low": loss - 0.03,
        "loss_high": loss + 0.04,
        "corrected_loss": loss / 0.625,
        "corrected_low": (loss - 0.03) / 0.625,
        "corrected_high": (loss + 0.04) / 0.625,
    }
    for measure, part in (("neuron", 1.0), ("ffn_weight", 1.0), ("model_weight", 0.6)):
        row[f"{measure}_sparsity_imposed"] = part * share
        row[f"{measure}_sparsity_total"] = part * (share + (1 - share) * 0.5)
    return row | changes


@pytest.fixture
def make_curve():
    """A function that builds one row of CURVES; keywords change its values."""
    return curve


@pytest.fixture
def curves():
    """Rows of CURVES for every invented model, method, level and task, dense ones among them."""
    return [
        curve(model, method, level, task)
        for model in MODELS
        for method, levels in LEVELS.items()
        for level, _ in levels
        for task in (*TASKS, "reasoning")
    ]


@pytest.fixture
def removals():
    """Rows of REMOVALS: the coldest once, and five draws of as many of every layer."""
    return [
        {
            "model": model, "method": method, "level": "0.1", "seed": seed, "removed": 100,
            "neurons": 1000, "least_of_a_layer": 0.1 - 0.01 * seed,
            "most_of_a_layer": 0.1 + 0.02 * seed, "activity_removed": 0.02 + 0.01 * seed,
            "contribution_removed": 0.03 + 0.01 * seed,
            "shared_with_coldest": None if method == "drop_cold" else 0.1 + 0.1 * seed,
            "loss": 0.04 + 0.01 * seed, "corrected_loss": 0.08 + 0.02 * seed,
        }
        for model in MODELS
        for method, seeds in (("drop_cold", (0,)), ("drop_random", range(5)))
        for seed in seeds
    ]  # fmt: skip


@pytest.fixture
def removed_by_layer(removals):
    """Rows of REMOVED_BY_LAYER."""
    keys = ("model", "method", "level", "seed")
    return [
        {key: row[key] for key in keys} | {"layer": layer, "removed": 25, "neurons": 250}
        for row in removals
        for layer in range(4)
    ]


@pytest.fixture
def steps():
    """Rows of STEPS: two methods at two levels, on two tasks."""
    return [
        {
            "model": model, "method": method, "level": level, "task": task, "steps": count,
            "questions": 100, "stayed": 0.9**count, "low": 0.9**count - 0.02,
            "high": 0.9**count + 0.02, "expected": 0.91**count,
        }
        for model in MODELS
        for method in ("drop_cold", "drop_random", "other")
        for level in ("0.1", "0.5")
        for task in ("addition", "multihop")
        for count in (2, 3, 4)
    ]  # fmt: skip


@pytest.fixture
def refused():
    """Rows of REFUSED."""
    return [
        {
            "model": "ref-swiglu",
            "method": "keep_cold",
            "level": "0.5",
            "seed": 0,
            "reason": "only 380 of 1000 neurons are hot, fewer than the 500 to remove",
        }
    ]


@pytest.fixture
def finding():
    """The body of FINDING."""
    return {
        "confidence": 0.95,
        "bootstrap": 2000,
        "reference_level": "0.1",
        "models": [
            {
                "model": model,
                "activation": activation,
                "parameters": 1_240_320,
                "neurons": 1000,
                "natural_sparsity": sparsity,
                "active_rule": rule,
                "policy": "coverage",
                "share": 0.8,
                "hot": 380,
                "carried": 0.803,
            }
            for model, activation, sparsity, rule in (
                ("ref-reglu", "relu", 0.871, "nonzero"),
                ("ref-swiglu", "silu", 0.512, "cett"),
            )
        ],
        "dense": [
            {
                "model": model,
                "task": task,
                "reasoning": reasoning,
                "steps": steps,
                "n": 200 if steps is None else 100,
                "accuracy": 0.875,
                "chance": 0.25,
            }
            for model in MODELS
            for task, reasoning in TASKS.items()
            for steps in (None, 2, 3)
        ],
        "contrasts": [
            {
                "model": "ref-reglu",
                "first": {"method": "drop_cold", "level": "0.1", "neuron_sparsity": 0.102},
                "second": {"method": second, "level": "0.1", "neuron_sparsity": 0.125},
                "estimate": estimate,
                "low": estimate - 0.02,
                "high": estimate + 0.02,
                "n": 400,
            }
            for second, estimate in (("keep_cold", -0.12), ("drop_random", -0.01), ("other", 0.05))
        ],
        "dense_reasoning": [
            {
                "model": model,
                "accuracy": 0.875,
                "low": 0.84,
                "high": 0.9,
                "chance": 0.25,
                "n": 400,
            }
            for model in MODELS
        ],
        "text_contrasts": [
            {
                "model": "ref-reglu",
                "task": "prose",
                "first": {"method": "drop_cold", "level": "0.1", "neuron_sparsity": 0.101},
                "second": {"method": "drop_random", "level": "0.1", "neuron_sparsity": 0.1},
                "estimate": -0.41,
                "low": -0.45,
                "high": -0.36,
                "n": 500,
            }
        ],
        "text_decomposition": [
            {
                "model": model,
                "task": "prose",
                "scope": "layer",
                "part": part,
                "first": "drop_random",
                "second": "drop_cold",
                "estimate": estimate,
                "low": estimate - 0.02,
                "high": estimate + 0.02,
            }
            for model in MODELS
            for part, estimate in (("not hot", 0.31), ("order of coldness", 0.1))
        ],
        "decomposition": [
            {
                "model": model,
                "scope": scope,
                "part": part,
                "first": "drop_random",
                "second": "drop_cold",
                "estimate": estimate,
                "low": estimate - 0.02,
                "high": estimate + 0.02,
            }
            # The second model lacks a draw among the cold that is matched to the whole model.
            for model, parts in (("ref-reglu", 5), ("ref-swiglu", 4))
            for scope, part, estimate in (
                ("layer", "not hot", 0.25),
                ("layer", "order of coldness", 0.05),
                ("model", "layers", -0.11),
                ("model", "not hot", 0.13),
                ("model", "order of coldness", 0.17),
            )[:parts]
        ],
    }


@pytest.fixture
def corpora():
    """Bodies of CORPUS and OVERLAP together, by the name of the corpus' folder."""
    return {
        "ref-reglu.reasoning-0123456789ab": {
            "commit": None,
            "documents": 2310,
            "sequences": 782,
            "tokens": 100_064,
            "unknown_share": 0.012,
            "overlap_ngram": 24,
            "shared_documents": 0,
            "shared_ngrams": 0,
            "allowed": False,
        }
    }


@pytest.fixture
def classifications():
    """Bodies of CLASSIFICATION with model, corpus and name."""
    return [
        {
            "model": model,
            "corpus": "reasoning",
            "classification": name,
            "policy": policy,
            "share": share,
            "scope": "model",
            "other": None,
            "rise": None,
            "neurons": 1000,
            "hot": hot,
            "carried": carried,
            "active_rule": "nonzero",
        }
        for model in MODELS
        for name, policy, share, hot, carried in (
            ("coverage80", "coverage", 0.8, 380, 0.803),
            ("budget20", "budget", 0.2, 200, 0.605),
        )
    ]


@pytest.fixture
def models():
    """Bodies of MODEL."""
    return [
        {
            "name": name,
            "kind": "builtin",
            "source": name,
            "commit": None,
            "sha256": None,
            "quantization": None,
            "bits": None,
            "weights_digest": "a" * 32,
            "config_digest": "b" * 32,
            "tokenizer_digest": "c" * 32,
            "architecture": "LlamaForCausalLM",
            "layers": 4,
            "d_model": 128,
            "d_ff": 250,
            "gated": True,
            "activation": activation,
            "exact_zeros": activation == "relu",
            "parameters": 1_240_320,
            "ffn_weights": 384_000,
            "linear_weights": 646_144,
            "vocabulary": 75,
            "positions": 256,
            "dtype": "float32",
        }
        for name, activation in zip(MODELS, ("relu", "silu"), strict=True)
    ]


@pytest.fixture
def perplexity():
    """Rows of PERPLEXITY."""
    return [
        {
            "model": model,
            "method": method,
            "level": level,
            "measure": None if method == "dense" else "neurons_removed",
            "task": "prose",
            "reasoning": False,
            "seeds": 1,
            "activity_removed": None if method == "dense" else 0.02,
            "contribution_removed": None if method == "dense" else 0.03,
            **{
                f"{measure}_sparsity_{basis}": 0.1
                for measure in ("neuron", "ffn_weight", "model_weight")
                for basis in ("imposed", "total")
            },
            "n": 500,
            "tokens": 20_000,
            "nonfinite": 0,
            "log_perplexity": 1.3 + loss,
            "log_perplexity_dense": 1.3,
            "loss": loss,
            "loss_low": loss - 0.02,
            "loss_high": loss + 0.03,
        }
        for model in MODELS
        for method, level, loss in (("dense", "0", 0.0), ("drop_cold", "0.1", 0.37))
    ]


@pytest.fixture
def correlations():
    """Rows of CORRELATIONS."""

    def row(level, measure, model, method="one_part", **changes):
        known = {"level": level, "model": model, "method": method, "measure": measure}
        found = {"units": 20, "strata": None, "spearman": 0.83, "p": 0.0004, "least_p": 0.0001}
        return known | found | changes

    return [
        row("neuron", "activity", "ref-reglu", p=0.0123),
        row("neuron", "activity", None),
        row("layer", "natural_sparsity", None, p=None, spearman=None),
        row("condition", "neuron_sparsity_imposed", "ref-reglu", "drop_cold", p=None),
        row("removal", "activity_removed, pooled", "ref-reglu", "", p=None, spearman=0.91),
        row("removal", "neurons removed, pooled", "ref-reglu", "", p=None, spearman=0.95),
        row("removal", "activity_removed given the number", "ref-reglu", "", p=None, spearman=None),
        row("removal", "activity_removed", "ref-reglu", "", strata=4, spearman=0.12, p=0.4),
    ]


@pytest.fixture
def units():
    """Rows of UNITS: two deciles and two layers a model."""
    empty = dict.fromkeys(("activity", "natural_sparsity", "gini", "hot_share", "depth"))
    return [
        {
            "level": level,
            "model": model,
            "method": "one_part",
            "unit": unit,
            **empty,
            "neuron_sparsity_imposed": 0.1,
            "n": 400,
            "loss": unit / 100,
            "loss_low": unit / 100 - 0.01,
            "loss_high": unit / 100 + 0.01,
        }
        for model in MODELS
        for level, numbers in (("neuron", (1, 10)), ("layer", (0, 3)))
        for unit in numbers
    ]


@pytest.fixture
def profiles():
    """Invented profiles of the two models on two corpora, three layers each."""
    from pipeline.report.profiles import Profiles

    layers, cett_curves, power_law, ranked, overlaps = [], [], [], [], []
    for m, model in enumerate(MODELS):
        for c, corpus in enumerate(("reasoning", "prose")):
            own = {"model": model, "corpus": corpus}
            for layer in range(3):
                layers.append(own | {
                    "layer": layer, "cett_threshold": 0.5, "cett": 0.2, "cett_tokens": 4096,
                    "tokens": 30_000, "natural_sparsity": 0.8 + 0.05 * layer + 0.01 * c,
                    "zero_share": 0.8, "nonfinite": 0,
                })  # fmt: skip
                cett_curves += [
                    own | {
                        "layer": layer, "sparsity": 0.5 + n / 10, "threshold": 0.1 * n,
                        "cett": n / 10 + layer / 100 + c / 1000,
                    }
                    for n in range(6)
                ]  # fmt: skip
            for layer in (None, 0, 1, 2):
                hot = 0.3 + 0.1 * m + 0.02 * (layer or 0)
                size = 3000 if layer is None else 1000
                power_law.append(own | {
                    "layer": layer, "neurons": size, "hot": round(hot * size), "hot_share": hot,
                    "top_carries": 0.6, "gini": 0.55, "never_active": size // 20,
                })  # fmt: skip
                ranked += [
                    own | {
                        "layer": layer, "share_of_neurons": n / 100,
                        "share_of_activations": (n / 100) ** (0.3 + 0.1 * m), "frequency": 0.9**n,
                    }
                    for n in range(101)
                ]  # fmt: skip
        overlaps += [
            {
                "model": model, "corpus": "reasoning", "other": "prose", "layer": layer,
                "basis": basis, "size": 200, "other_size": 250, "both": 150,
                "share": None if layer == 2 else 0.75, "jaccard": 0.5, "by_chance": 0.25,
            }
            for layer in (None, 0, 1, 2)
            for basis in ("coverage80", "top20")
        ]  # fmt: skip
    return Profiles(list(MODELS), layers, cett_curves, power_law, ranked, overlaps)


@pytest.fixture
def training():
    """Rows of TRAINING with what they are of: two predictors that all levels share, and
    compensations of two seeds at one level."""
    shared = {"method": "predicted", "level": None, "seed": None, "objective": "entropy, nats"}
    own = {"method": "spon", "level": "0.5", "objective": "KL divergence, nats a token"}
    trained = [
        *(shared | {"label": f"predictor of layer {layer}"} for layer in (0, 1)),
        *(own | {"seed": seed, "label": "compensation"} for seed in (0, 1)),
    ]
    return [
        {
            "model": model, **facts, "step": 25 * n, "items": 200 * n,
            "train": None if n == 0 else loss + 0.05, "held_out": loss, "best": n == 1,
        }
        for model in MODELS
        for facts in trained
        for n, loss in enumerate((0.75, 0.5, 0.625))
    ]  # fmt: skip


@pytest.fixture
def parts(
    curves,
    perplexity,
    correlations,
    units,
    steps,
    removals,
    removed_by_layer,
    refused,
    finding,
    corpora,
    models,
    classifications,
    profiles,
    training,
    manifest,
):
    """Parts of Results, tables among them by name, to be changed by a test."""
    return {
        "study": "small",
        "curves": curves,
        "perplexity": perplexity,
        "correlations": correlations,
        "units": units,
        "steps": steps,
        "removals": removals,
        "removed_by_layer": removed_by_layer,
        "refused": refused,
        "finding": finding,
        "sentences": SENTENCES,
        "corpora": corpora,
        "models": models,
        "classifications": classifications,
        "profiles": profiles,
        "training": training,
        "methods": METHODS,
        "by_steps": ["drop_cold", "drop_random"],
        "libraries": {"torch": "2.13.0"},
        "manifest": manifest,
    }


@pytest.fixture
def measured(make_curve, perplexity):
    """Two methods that were asked for an achieved measure, one of them on one model only."""
    asked = {
        "measure": "model_weight_sparsity",
        "level": "0.5",
        "model_weight_sparsity_total": 0.507,
    }
    places = [("ref-reglu", "teal", 0.2), ("ref-swiglu", "teal", 0.1), ("ref-swiglu", "wina", 0.3)]
    rows = [
        make_curve(m, name, loss=loss, loss_low=loss - 0.01, loss_high=loss + 0.02, **asked)
        for m, name, loss in places
    ]
    texts = [
        {**perplexity[0], "model": m, "method": n, "level": "0.5", "measure": asked["measure"],
         "model_weight_sparsity_total": 0.5,
         "loss": loss}
        for m, n, loss in places
    ]  # fmt: skip
    return {"curves": rows, "perplexity": texts}

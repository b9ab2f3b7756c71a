"""Every name that a configuration can use, and where the object behind it is.

A new entry is one file and one line here. The tables hold text: importing this module imports none
of the entries. Source digests leave the tables out and digest the entries that a job names, so a
new line reruns nothing.
"""

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.errors import UserError, unknown_name


class Registry(Mapping[str, str]):
    """Names mapped to "module:object"; the module is imported by `load` only."""

    def __init__(self, kind: str, table: Mapping[str, str]) -> None:
        self.kind = kind
        self._table = dict(table)

    def __getitem__(self, name: str) -> str:
        return self._table[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)

    def check(self, name: str) -> str:
        """`name` itself; raises UserError with the nearest name when it is not registered."""
        if name not in self._table:
            raise UserError(unknown_name(self.kind, name, self._table))
        return name

    def load(self, name: str) -> Any:
        """Import and return the object registered as `name`."""
        module, _, attribute = self._table[self.check(name)].partition(":")
        return getattr(importlib.import_module(module), attribute)


ARCHITECTURES = Registry(
    "architecture",
    {
        "GPT2LMHeadModel": "pipeline.models.ungated:gpt2_views",
        "GPTNeoXForCausalLM": "pipeline.models.ungated:gpt_neox_views",
        "Gemma2ForCausalLM": "pipeline.models.gated:gemma_views",
        "Gemma3ForCausalLM": "pipeline.models.gated:gemma_views",
        "GemmaForCausalLM": "pipeline.models.gated:gated_views",
        "GraniteForCausalLM": "pipeline.models.gated:gated_views",
        "LlamaForCausalLM": "pipeline.models.gated:gated_views",
        "MistralForCausalLM": "pipeline.models.gated:gated_views",
        "OPTForCausalLM": "pipeline.models.ungated:opt_views",
        "Olmo2ForCausalLM": "pipeline.models.gated:olmo2_views",
        "Phi3ForCausalLM": "pipeline.models.gated:fused_views",
        "Qwen2ForCausalLM": "pipeline.models.gated:gated_views",
        "Qwen3ForCausalLM": "pipeline.models.gated:gated_views",
        "SmolLM3ForCausalLM": "pipeline.models.gated:gated_views",
        "StableLmForCausalLM": "pipeline.models.gated:stablelm_views",
    },
)

POLICIES = Registry(
    "hot/cold policy",
    {
        "budget": "pipeline.classification.budget:Budget",
        "cett": "pipeline.classification.cett:CETT",
        "contribution": "pipeline.classification.contribution:Contribution",
        "coverage": "pipeline.classification.coverage:Coverage",
        "magnitude": "pipeline.classification.magnitude:Magnitude",
        "perplexity": "pipeline.classification.perplexity:Perplexity",
        "stability": "pipeline.classification.stability:Stability",
    },
)

WEIGHTS = Registry(
    "weight pruning",
    {
        "magnitude": "pipeline.methods.weights.magnitude:Magnitude",
        "sparsegpt": "pipeline.methods.weights.sparsegpt:SparseGPT",
        "wanda": "pipeline.methods.weights.wanda:Wanda",
    },
)

QUANTIZERS = Registry(
    "quantization",
    {
        "bf16": "pipeline.methods.quantizers.floats:Bfloat16",
        "fp16": "pipeline.methods.quantizers.floats:Float16",
        "int4": "pipeline.methods.quantizers.integers:Int4",
        "int8": "pipeline.methods.quantizers.integers:Int8",
    },
)

SPARSIFIERS = Registry(
    "sparsifier",
    {
        "cats": "pipeline.methods.sparsifiers.cats:Cats",
        "cett": "pipeline.methods.sparsifiers.cett:Cett",
        "drop_cold": "pipeline.methods.sparsifiers.drop_cold:DropCold",
        "drop_cold_layer": "pipeline.methods.sparsifiers.drop_cold_layer:DropColdLayer",
        "drop_decile": "pipeline.methods.sparsifiers.drop_decile:DropDecile",
        "drop_low_contribution": (
            "pipeline.methods.sparsifiers.drop_low_contribution:DropLowContribution"
        ),
        "drop_random": "pipeline.methods.sparsifiers.drop_random:DropRandom",
        "drop_small": "pipeline.methods.sparsifiers.drop_small:DropSmall",
        "griffin": "pipeline.methods.sparsifiers.griffin:Griffin",
        "keep_cold": "pipeline.methods.sparsifiers.keep_cold:KeepCold",
        "percentile": "pipeline.methods.sparsifiers.percentile:Percentile",
        "predicted": "pipeline.methods.sparsifiers.predicted:Predicted",
        "rsparse": "pipeline.methods.sparsifiers.rsparse:RSparse",
        "selective": "pipeline.methods.sparsifiers.selective:Selective",
        "teal": "pipeline.methods.sparsifiers.teal:Teal",
        "topk": "pipeline.methods.sparsifiers.topk:TopK",
        "wina": "pipeline.methods.sparsifiers.wina:Wina",
    },
)

COMPENSATIONS = Registry(
    "compensation",
    {
        "mean_bias": "pipeline.methods.compensation.mean_bias:MeanBias",
        "spon": "pipeline.methods.compensation.spon:Spon",
        "spon_dense": "pipeline.methods.compensation.spon:SponDense",
    },
)

#: In the order in which `auto` looks for one that can serve the weights.
KERNELS = Registry(
    "kernel backend",
    {
        "cpu": "pipeline.kernels.cpu:CPU",
        "triton": "pipeline.kernels.triton:TRITON",
        "reference": "pipeline.kernels.reference:REFERENCE",
    },
)

#: The parts of a method, in the order in which they are applied.
PARTS: Mapping[str, Registry] = {
    "weights": WEIGHTS,
    "quantization": QUANTIZERS,
    "sparsifier": SPARSIFIERS,
    "compensation": COMPENSATIONS,
}

CORPORA = Registry(
    "kind of calibration corpus",
    {
        "builtin": "pipeline.calibration.local:FILES",
        "hub": "pipeline.calibration.hub:HUB",
        "package": "pipeline.calibration.package:PACKAGE",
        "path": "pipeline.calibration.local:FILES",
        "task": "pipeline.calibration.task:TASK",
    },
)

FAMILIES = Registry(
    "task family",
    {
        "addition": "pipeline.reference.families.addition:ADDITION",
        "boolean": "pipeline.reference.families.boolean:BOOLEAN",
        "boolean_direct": "pipeline.reference.families.boolean:BOOLEAN_DIRECT",
        "chain": "pipeline.reference.families.chain:CHAIN",
        "chain_direct": "pipeline.reference.families.chain:CHAIN_DIRECT",
        "copying": "pipeline.reference.families.copying:COPYING",
        "multihop": "pipeline.reference.families.multihop:MULTIHOP",
        "prose": "pipeline.reference.families.prose:PROSE",
        "reciting": "pipeline.reference.families.reciting:RECITING",
        "sorting": "pipeline.reference.families.sorting:SORTING",
        "tracking": "pipeline.reference.families.tracking:TRACKING",
    },
)

#: Analyses of a study, by the file that each writes; see pipeline.analysis.base.
ANALYSES = Registry(
    "analysis",
    {
        "curves.parquet": "pipeline.analysis.curves:ANALYSIS",
        "perplexity.parquet": "pipeline.analysis.perplexity:ANALYSIS",
        "correlations.parquet": "pipeline.analysis.correlations:ANALYSIS",
        "units.parquet": "pipeline.analysis.units:ANALYSIS",
        "steps.parquet": "pipeline.analysis.steps:ANALYSIS",
        "removals.parquet": "pipeline.analysis.removals:ANALYSIS",
        "removed_by_layer.parquet": "pipeline.analysis.removed_by_layer:ANALYSIS",
        "refused.parquet": "pipeline.analysis.refused:ANALYSIS",
        "finding.json": "pipeline.analysis.finding:ANALYSIS",
    },
)

#: Sections of the report's page, in its order; see pipeline.report.section.
SECTIONS = Registry(
    "section of the page",
    {
        "finding": "pipeline.report.sections.finding:SECTION",
        "overlap": "pipeline.report.sections.overlap:SECTION",
        "accuracy_lost": "pipeline.report.sections.accuracy_lost:SECTION",
        "facts": "pipeline.report.sections.facts:SECTION",
        "tasks": "pipeline.report.sections.tasks:SECTION",
        "texts": "pipeline.report.sections.texts:SECTION",
        "removals": "pipeline.report.sections.removals:SECTION",
        "activity": "pipeline.report.sections.activity:SECTION",
        "dense": "pipeline.report.sections.dense:SECTION",
        "compared": "pipeline.report.sections.compared:SECTION",
        "contrasts": "pipeline.report.sections.contrasts:SECTION",
        "conditions": "pipeline.report.sections.conditions:SECTION",
        "neurons": "pipeline.report.sections.neurons:SECTION",
        "cett": "pipeline.report.sections.cett:SECTION",
        "methods": "pipeline.report.sections.methods:SECTION",
        "training": "pipeline.report.sections.training:SECTION",
        "models": "pipeline.report.sections.models:SECTION",
        "corpora": "pipeline.report.sections.corpora:SECTION",
        "glossary": "pipeline.report.sections.glossary:SECTION",
        "provenance": "pipeline.report.sections.provenance:SECTION",
    },
)

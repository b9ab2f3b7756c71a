"""What ships with the project, made anew: `make reference-models`. A workflow of its own, since it
depends on no study. It asks for the trained weights in results/ too, so that it trains in a new
clone, where the cards are there already; a training goes on from its last checkpoint."""

from pipeline.reference.export import CORPORA, TASKS
from pipeline.reference.recipes import RECIPES
from pipeline.planning.sources import (
    PROJECT,
    card_entries,
    family_entries,
    rule_source,
    view_entries,
)

RESOURCES = str(PROJECT / "resources")
LOGS = "results/logs/reference"


localrules:
    reference_models,


rule reference_models:
    default_target: True
    input:
        expand(f"{RESOURCES}/models/{{backbone}}/README.md", backbone=RECIPES),
        expand("results/reference/{backbone}/model.safetensors", backbone=RECIPES),


rule generate_tasks:
    output:
        tasks=expand(f"{RESOURCES}/tasks/{{task}}.{{ending}}", task=TASKS, ending=["yaml", "jsonl"]),
        corpora=expand(f"{RESOURCES}/calibration/{{corpus}}.jsonl", corpus=CORPORA),
    log:
        f"{LOGS}/generate_tasks.log",
    threads: 1
    resources:
        mem_mb=1000,
    params:
        source=rule_source("generate_tasks", family_entries()),
    script:
        "../workflow/scripts/generate_tasks.py"


rule train_reference:
    output:
        weights="results/reference/{backbone}/model.safetensors",
        curve="results/reference/{backbone}/loss.json",
    log:
        f"{LOGS}/train_reference/{{backbone}}.log",
    threads: 1
    resources:
        mem_mb=4000,
    params:
        recipe=lambda w: RECIPES[w.backbone].as_dict(),
        device=config.get("device", "cpu"),
        checkpoint="results/reference/{backbone}.checkpoint.pt",
        source=rule_source("train_reference", family_entries()),
    script:
        "../workflow/scripts/train_reference.py"


rule ship_reference:
    input:
        weights=rules.train_reference.output.weights,
        curve=rules.train_reference.output.curve,
        # A checkout gives files times of no meaning.
        tasks=ancient(rules.generate_tasks.output.tasks),
    output:
        card_file=f"{RESOURCES}/models/{{backbone}}/README.md",
        facts=f"{RESOURCES}/models/{{backbone}}/card.json",
    log:
        f"{LOGS}/ship_reference/{{backbone}}.log",
    threads: 1
    resources:
        mem_mb=2000,
    params:
        recipe=lambda w: RECIPES[w.backbone].as_dict(),
        source=rule_source("ship_reference", (*family_entries(), *view_entries(), *card_entries())),
    script:
        "../workflow/scripts/ship_reference.py"

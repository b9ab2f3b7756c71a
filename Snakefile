"""The study, as an index: configuration, stages, and what a whole run makes."""

import gc
import os

from snakemake.utils import min_version

min_version("9.0")

# Planning makes millions of objects and keeps nearly all of them; Python would look through the old
# ones again and again for some that nothing needs.
gc.set_threshold(200_000, 20, 100)

#: Refused conditions that the end of a run tells of; a study may have hundreds.
REFUSALS_TOLD = 5

if not workflow.configfiles:

    configfile: "config.yaml"


if image := os.environ.get("COLD_NEURONS_IMAGE"):

    # Before the rules, which take it over.
    container: image


include: "rules/common.smk"
include: "rules/inputs.smk"
include: "rules/model.smk"
include: "rules/calibration.smk"
include: "rules/profile.smk"
include: "rules/classify.smk"
include: "rules/fit.smk"
include: "rules/evaluate.smk"
include: "rules/analyse.smk"
include: "rules/report.smk"


report: "workflow/report/workflow.rst"


localrules:
    all,


rule all:
    default_target: True
    input:
        asked_for(),
        lost_results,


onstart:
    sizes = {model: size_of(STUDY, model, Path()) for model in CONFIG.models}
    write_jobs(Path(f"{RESULTS}/jobs.json"), CONFIG.study, jobs_of(STUDY, sizes))


onsuccess:
    page, answer = (Path(path("build_report", name)) for name in ("page", "sentences"))
    if page.exists() and answer.exists():
        print("", answer.read_text(encoding="utf-8"), sep="\n", end="")
        refusals = REFUSED.read(Path(path("analyse", "refused.parquet"))).to_dicts()
        for row in refusals[:REFUSALS_TOLD]:
            print(
                f"refused: {row['model']}, {row['method']} at {row['level']}: {row['reason']}"
            )
        if len(refusals) > REFUSALS_TOLD:
            print(f"conditions refused: {len(refusals)} in all; the page lists them")
        print(f"the page: {page.resolve()}")

"""The study's workflow, which writes what it plans: all jobs with their named inputs, outputs and
params, as JSON into the file that the configuration names as `dag`."""

import json
from pathlib import Path

from snakemake.dag import DAG

# Before the study is made of what is left.
DUMP = Path(config.pop("dag"))


include: "../../Snakefile"


def plain(files):
    """Inputs or outputs by their names, as lists."""
    return {
        name: [str(value)] if isinstance(value, str) else [str(one) for one in value]
        for name, value in files.items()
    }


def written(look):
    """The last step of Snakemake's planning, with all jobs written."""

    def write(dag):
        look(dag)
        jobs = [
            {
                "rule": job.rule.name,
                "inputs": plain(job.input),
                "outputs": plain(job.output),
                "files": list(map(str, job.output)),
                "log": list(map(str, job.log)),
                "params": dict(job.params.items()),
            }
            for job in dag.jobs
        ]
        DUMP.write_text(json.dumps(jobs, default=list))

    return write


DAG.check_directory_outputs = written(DAG.check_directory_outputs)

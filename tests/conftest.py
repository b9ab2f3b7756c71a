"""Fixtures that several packages share: manifests, a small study, small models made on the spot."""

import contextlib
import os
import subprocess
import sys
import threading

# Read when the libraries are imported. One thread, since sums change with the number of threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

from pipeline.artifacts import Manifest  # noqa: E402
from pipeline.digest import SOURCE_ROOT  # noqa: E402

# Deadlines are timings, and imports inside functions make first calls slow.
settings.register_profile("tests", deadline=None, max_examples=60, derandomize=True, database=None)
settings.load_profile("tests")


@pytest.fixture
def manifest():
    return Manifest(rule="some_rule", source="0" * 32, config={"level": 0.5}, seed=3)


@pytest.fixture
def study_values():
    """A small study with every key in it, as a configuration file would give it."""
    method = {
        "sparsifier": "drop_cold",
        "corpus": "reasoning",
        "classification": "coverage80",
        "levels": [0.25, "cold"],
        "seeds": [0],
        "scope": "model",
    }
    return {
        "study": "small",
        "seed": 0,
        "models": {
            "backbone": {
                "source": "builtin:ref-reglu",
                "revision": None,
                "dtype": "float32",
                "device": "cpu",
                "trust_remote_code": False,
            }
        },
        "calibration": {
            "reasoning": {
                "source": "builtin:reasoning",
                "revision": None,
                "field": "text",
                "split": "train",
                "tokens": 1000,
                "sequence_length": 64,
                "overlap_ngram": 24,
                "shards": 1,
                "allow_overlap": False,
            }
        },
        "profile": {
            "block_sequences": 8,
            "batch_size": 4,
            "shards": 2,
            "cett": 0.2,
            "cett_tokens": 512,
        },
        "classification": {
            "coverage80": {"policy": "coverage", "share": 0.8, "scope": "model"},
            "by_layer": {"policy": "budget", "share": 0.2, "scope": "layer"},
        },
        "methods": {"drop_cold": method},
        "evaluation": {
            "tasks": ["chain", "copying"],
            "limit": 4,
            "batch_size": 4,
            "block_items": 3,
            "shards": 1,
            "sparse_from": "start",
        },
        "analysis": {"bootstrap": 200, "confidence": 0.95, "reference_level": 0.25},
    }


@pytest.fixture(scope="session")
def make_model():
    """A function that builds a random model of any registered architecture, by its class name.

    Weights are large enough that greedy answers do not hang on the last bit of a sum.
    """

    def build(architecture="LlamaForCausalLM", seed=0, **overrides):
        import torch
        import transformers

        from pipeline.reference.vocabulary import BOS, EOS, PAD, VOCABULARY

        kind = getattr(transformers, architecture)
        sizes = {
            "vocab_size": len(VOCABULARY),
            "hidden_size": 16,
            "intermediate_size": 24,
            "ffn_dim": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "max_position_embeddings": 256,
            "hidden_act": "relu",
            "word_embed_proj_dim": 16,
            "activation_function": overrides.get("hidden_act", "relu"),
            "dropout": 0.0,
            "init_std": 0.3,
            "initializer_range": 0.3,
            "pad_token_id": PAD,
            "bos_token_id": BOS,
            "eos_token_id": EOS,
        }
        torch.manual_seed(seed)
        return kind(kind.config_class(**{**sizes, **overrides})).eval()

    return build


@pytest.fixture(scope="session")
def save_model(make_model):
    """A function that writes a random model with its tokenizer into a folder."""

    def save(folder, **overrides):
        from pipeline.reference.vocabulary import save_tokenizer

        make_model(**overrides).save_pretrained(folder)
        save_tokenizer(folder)
        return folder

    return save


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    """The built-in language's tokenizer."""
    from transformers import AutoTokenizer

    from pipeline.reference.vocabulary import save_tokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(folder)
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture
def hub_on_loopback(tmp_path):
    """A function: request handler, attributes of its server -> (server, environment in which this
    server is the Hub)."""
    from http.server import ThreadingHTTPServer

    with contextlib.ExitStack() as ends:

        def start(handler, **attributes):
            server = ends.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), handler))
            vars(server).update(attributes)
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            ends.callback(thread.join)
            ends.callback(server.shutdown)
            return server, {
                "HF_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}",
                "HF_HOME": str(tmp_path / "cache"),
                "HF_HUB_OFFLINE": "0",
                "HF_DATASETS_OFFLINE": "0",
                "HF_HUB_DISABLE_XET": "1",
                "HF_HUB_DISABLE_TELEMETRY": "1",
                "HF_HUB_DISABLE_PROGRESS_BARS": "1",
                "HF_TOKEN": "",
                "NO_PROXY": "127.0.0.1",
            }

        yield start


@pytest.fixture
def python():
    """A function that runs code in a fresh interpreter and returns the finished process."""

    def run(code, *arguments, **environment):
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(SOURCE_ROOT), **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run

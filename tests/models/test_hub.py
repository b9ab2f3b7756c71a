"""Models from the Hub: pinned to a commit, and every failure told in one message."""

import json

import pytest

RESOLVE = """
import json, sys
from pipeline.config.models import Model
from pipeline.errors import UserError
from pipeline.models.resolve import resolve
try:
    body = resolve("asked", Model(source=sys.argv[1], revision=sys.argv[2] or None))
except UserError as error:
    print("refused:", error)
else:
    print(json.dumps(body))
"""
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def ask(hub, python):
    """A function that resolves a Hub model in a fresh process and returns what it printed."""

    def run(source, revision="", content=None, **changes):
        repositories, environment = hub
        if content is not None:
            repositories[source] = content
        done = python(RESOLVE, source, revision, **{**environment, **changes})
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


def one_message(answer, *words):
    assert answer.startswith("refused: ") and "\n" not in answer
    for word in words:
        assert word in answer


def test_a_model_that_does_not_exist(ask):
    answer = ask("someone/no-such-model")
    one_message(answer, "'someone/no-such-model'", "does not exist on the Hub, or is private")
    one_message(answer, "HF_TOKEN", "a local folder starts with ./")


def test_a_gated_model(ask):
    answer = ask("someone/gated", content=(403, "GatedRepo"))
    one_message(answer, "'someone/gated' is gated", "accept its licence", "HF_TOKEN")


def test_a_private_model_without_a_token(ask):
    answer = ask("someone/private", content=(401, "RepoNotFound"))
    one_message(answer, "'someone/private'", "is private", "HF_TOKEN")


def test_a_revision_that_does_not_exist(ask, save_model, tmp_path):
    answer = ask("someone/model", "v9", content=save_model(tmp_path / "model"))
    one_message(answer, "'someone/model' at 'v9'", "but not this revision")


def test_offline_without_a_cached_copy(ask):
    answer = ask("someone/model", HF_HUB_OFFLINE="1")
    one_message(answer, "'someone/model'", "not in the local cache", "give the folder", "HF_HOME")


def test_nothing_listens(ask):
    answer = ask("someone/model", HF_ENDPOINT="http://127.0.0.1:9")
    one_message(answer, "'someone/model'", "connect to the network", "HF_HOME")


def test_a_hub_model_is_pinned_to_its_commit_and_found_again_offline(ask, save_model, tmp_path):
    folder = save_model(tmp_path / "model")
    online = json.loads(ask("someone/model", content=folder))
    assert (online["kind"], online["source"], online["commit"]) == ("hub", "someone/model", COMMIT)
    assert (online["layers"], online["d_ff"]) == (2, 24)
    assert json.loads(ask("someone/model", COMMIT, HF_HUB_OFFLINE="1")) == online


def test_a_hub_model_with_pickled_weights_alone_is_had_too(ask, save_model, tmp_path):
    import torch
    from safetensors.torch import load_file

    folder = save_model(tmp_path / "model")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert json.loads(ask("someone/model", content=folder))["d_ff"] == 24

"""Datasets from the Hub: pinned to a commit, and every failure told in one message."""

import json

import pytest

from pipeline.calibration.hub import commit, documents, identity
from pipeline.config.calibration import Corpus
from pipeline.errors import UserError

EXTRACT = """
import json, sys
from pipeline.calibration.extraction import extract
from pipeline.config.calibration import Corpus
from pipeline.errors import UserError
class Words:
    unk_token_id = bos_token_id = eos_token_id = pad_token_id = None
    all_special_ids = ()
    def __call__(self, text):
        return {"input_ids": [len(word) for word in text.split()]}
try:
    columns, facts, _ = extract(Corpus(**json.loads(sys.argv[1])), Words())
except UserError as error:
    print("refused:", error)
else:
    print(json.dumps([facts["commit"], columns["tokens"]]))
"""
COMMIT = "0123456789abcdef0123456789abcdef01234567"
OLDER = "89abcdef0123456789abcdef0123456789abcdef"
ROWS = [{"text": "one  two", "id": 1}, {"text": None, "id": 3}, {"text": "drei vier", "id": 2}]


def lines(*texts):
    return {"train.jsonl": "".join(json.dumps({"text": t}) + "\n" for t in texts).encode()}


@pytest.fixture
def ask(hub, python):
    """A function that extracts a Hub dataset in a fresh process and returns what it printed."""

    def run(content=None, environment=(), **corpus):
        server, standing_in = hub
        if content is not None:
            server.datasets["someone/texts"] = content
        corpus = json.dumps({"source": "hub:someone/texts", **corpus})
        done = python(EXTRACT, corpus, **{**standing_in, **dict(environment)})
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


def one_message(answer, *said):
    assert answer.startswith("refused: dataset 'someone/texts'") and "\n" not in answer
    for words in said:
        assert words in answer


@pytest.fixture
def texts():
    """A dataset whose main branch has moved on from the tag v1."""
    return {"main": COMMIT, COMMIT: lines("a bb", "ccc dd e"), "v1": OLDER, OLDER: lines("a a")}


@pytest.mark.parametrize(
    ("revision", "pinned", "tokens"),
    [
        (None, COMMIT, [[1, 2], [3, 2, 1]]),
        ("v1", OLDER, [[1, 1]]),
        (OLDER, OLDER, [[1, 1]]),
    ],
)
def test_a_dataset_is_read_at_the_commit_behind_its_revision(
    ask, hub, texts, revision, pinned, tokens
):
    assert json.loads(ask(texts, revision=revision)) == [pinned, tokens]
    # The branch or tag is asked for once, to resolve it: it may move while rows are read.
    first, *later = hub[0].revisions
    assert first == (revision or "main")
    assert later and set(later) == {pinned}


def test_a_dataset_that_does_not_exist(ask):
    one_message(ask(), "does not exist on the Hub, or is private", "HF_TOKEN", "path:FILE")


def test_a_gated_dataset(ask):
    one_message(ask((403, "GatedRepo")), "is gated: accept its terms", "HF_TOKEN")


def test_a_revision_that_does_not_exist(ask, texts):
    answer = ask(texts, revision="v9")
    one_message(answer, "at 'v9'", "the Hub has the dataset but not this revision")


def test_a_split_that_does_not_exist(ask, texts):
    answer = ask(texts, split="dev")
    one_message(answer, "split 'dev'", "check the names")


def test_nothing_listens(ask):
    answer = ask(environment={"HF_ENDPOINT": "http://127.0.0.1:9"})
    one_message(answer, "'train'", "connect to the network", "path:FILE")


def test_offline(ask):
    one_message(ask(environment={"HF_HUB_OFFLINE": "1"}), "connect to the network", "path:FILE")


def test_a_field_that_is_not_there(ask, texts):
    one_message(ask(texts, field="body"), "no field 'body'; it has ['text']")


def test_a_damaged_file(ask):
    answer = ask({"main": COMMIT, COMMIT: {"train.jsonl": b"no rows\n"}})
    one_message(answer, "cannot be read", "path:FILE")


def test_a_dataset_without_data(ask):
    answer = ask({"main": COMMIT, COMMIT: {"README.md": b"soon"}})
    one_message(answer, "cannot be read", "path:FILE")


@pytest.mark.parametrize(
    ("where", "asked"),
    [
        ("owner/name", ("owner/name", None)),
        ("owner/name/main", ("owner/name", "main")),
        ("name", ("name", None)),
    ],
)
def test_where_names_a_dataset_and_its_configuration(monkeypatch, where, asked):
    import datasets

    calls = []

    def load_dataset(*arguments, **options):
        calls.append((arguments, options))
        return iter(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    corpus = Corpus(source=f"hub:{where}", split="validation", revision=COMMIT)
    assert list(documents(where, corpus)) == ["one  two", "drei vier"]
    options = {"split": "validation", "revision": COMMIT, "streaming": True}
    assert calls == [(asked, options)]


def test_a_folder_that_would_be_read_instead_is_refused(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "name").mkdir(parents=True)
    with pytest.raises(UserError, match="dataset 'owner/name': there is a file or folder"):
        commit("owner/name", Corpus(source="hub:owner/name"))


def test_another_revision_is_another_corpus():
    identities = [
        identity("owner/name", Corpus(source="hub:owner/name", revision=revision))
        for revision in (None, "v1", COMMIT)
    ]
    assert len(set(identities)) == 3
    assert identities[1] == identity("owner/name", Corpus(source="hub:owner/name", revision="v1"))


@pytest.mark.parametrize("where", ["someone/no-such-dataset", "gsm8k"])
def test_documents_that_cannot_be_had_offline_are_told_in_one_message(where):
    with pytest.raises(UserError) as refused:
        list(documents(where, Corpus(source=f"hub:{where}")))
    message = str(refused.value)
    assert repr(where) in message and "'train'" in message
    assert "connect to the network" in message and "path:FILE" in message

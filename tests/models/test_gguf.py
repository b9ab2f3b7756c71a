"""Models in GGUF files: read exactly, or refused."""

import hashlib

import gguf
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipeline.config.models import Model
from pipeline.errors import UserError
from pipeline.models import conversion, gguf_header
from pipeline.models.gguf import architecture, packed_as
from pipeline.models.loading import load
from pipeline.models.resolve import resolve
from tests.models.gguf_files import ARCHITECTURES, TEMPLATE, words, write

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "head_dim": 32,
    "hidden_act": "silu",
    "hidden_activation": "gelu_pytorch_tanh",
    "pad_token_id": 3,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
#: What files of these architectures do not say, so that a model has to have it as llama.cpp does.
FIXED = {
    "Qwen3ForCausalLM": {"head_dim": 128},
    "Gemma2ForCausalLM": {"query_pre_attn_scalar": 256, "tie_word_embeddings": True},
    "Gemma3ForCausalLM": {"query_pre_attn_scalar": 256, "tie_word_embeddings": True},
}


@pytest.fixture(scope="module")
def backbone(make_model):
    """A function that builds a model which a GGUF file can hold; its norms differ from one."""

    def build(name="LlamaForCausalLM", **changes):
        more = {"vocab_size": len(words(name)), **FIXED.get(name, {}), **changes}
        model = make_model(name, **{**SIZES, **more})
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter_name, parameter in model.named_parameters():
                if parameter_name.endswith(("norm.weight", "bias")):
                    parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
        return model

    return build


def converted(source, folder, **changes):
    """(model, tokenizer) as the jobs of a study load them."""
    section = Model(source=str(source), dtype="float32").model_copy(update=changes)
    body = conversion.convert("mine", section, folder)
    made = Model(source=str(folder), dtype=section.dtype)
    record = resolve("mine", made, body)
    return *load(made, record), record, body


def logits(model):
    tokens = torch.tensor([[5, 9, 20, 7, 31, 80, 100, 101, 3 + 40]])
    with torch.inference_mode():
        return model(tokens).logits.float()


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_a_file_becomes_the_model_that_it_was_written_from(backbone, tmp_path, name):
    model = backbone(name)
    (file,) = write(tmp_path / "model.gguf", model)
    made, tokenizer, record, _ = converted(file, tmp_path / "made")
    assert type(made).__name__ == name
    assert torch.allclose(logits(made), logits(model), atol=1e-5, rtol=1e-5)
    assert record["architecture"] == name and record["parameters"] == model.num_parameters()
    assert tokenizer.eos_token == "<eos>" and tokenizer.chat_template == TEMPLATE


def test_the_tokens_are_those_of_the_file(backbone, tmp_path):
    write(tmp_path / "model.gguf", backbone())
    _, tokenizer, *_ = converted(tmp_path / "model.gguf", tmp_path / "made")
    ids = tokenizer("the th<eos>")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["th", "e", "Ġth", "<eos>"]


def test_packed_weights_are_those_that_the_format_defines(backbone, tmp_path):
    kind = gguf.GGMLQuantizationType.Q4_1
    write(tmp_path / "model.gguf", backbone(), kind=kind)
    made, _, record, body = converted(tmp_path / "model.gguf", tmp_path / "made")
    found = made.model.layers[1].mlp.up_proj.weight.detach().numpy()
    written = backbone().model.layers[1].mlp.up_proj.weight.detach().numpy()
    expected = gguf.quants.dequantize(gguf.quants.quantize(written, kind), kind)
    assert (found == expected).all() and not (found == written).all()
    assert (record["quantization"], record["bits"]) == ("Q4_1", 4)
    assert (body["kind"], body["source"]) == ("gguf", "")


def test_auto_is_bfloat16_for_a_file(backbone, tmp_path):
    write(tmp_path / "model.gguf", backbone())
    made, _, record, body = converted(tmp_path / "model.gguf", tmp_path / "made", dtype="auto")
    assert made.dtype == torch.bfloat16
    assert record["dtype"] == body["dtype"] == "bfloat16"


def test_the_same_file_makes_the_same_bytes(backbone, tmp_path):
    write(tmp_path / "model.gguf", backbone())
    bodies = [
        conversion.convert("mine", Model(source=str(tmp_path / "model.gguf")), tmp_path / place)
        for place in ("one", "two")
    ]
    assert bodies[0] == bodies[1]
    assert sorted(p.name for p in (tmp_path / "one").iterdir()) == sorted(bodies[0]["files"])


def test_shards_are_one_model_whichever_is_named(backbone, tmp_path):
    model = backbone()
    found = write(tmp_path / "model.gguf", model, shards=3)
    assert [path.name for path in found] == [f"model-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    assert gguf_header.shards(found[1]) == found
    made, tokenizer, _, body = converted(found[1], tmp_path / "made")
    assert torch.allclose(logits(made), logits(model), atol=1e-5, rtol=1e-5)
    assert tokenizer.chat_template == TEMPLATE
    assert body["sha256"] == hashlib.sha256(b"".join(p.read_bytes() for p in found)).hexdigest()
    found[2].unlink()
    with pytest.raises(UserError, match="one of 3 shards, and model-00003-of-00003.gguf is not"):
        gguf_header.shards(found[0])


def test_the_header_is_that_of_the_gguf_package(backbone, tmp_path):
    (file,) = write(tmp_path / "model.gguf", backbone(), kind=gguf.GGMLQuantizationType.Q8_0)
    header, reader = gguf_header.read([file]), gguf.GGUFReader(file)
    told = {
        key: len(field.data) if field.types[0] == gguf.GGUFValueType.ARRAY else field.contents()
        for key, field in reader.fields.items()
        if not key.startswith("GGUF.")
    }
    assert header.settings == told
    assert {name: (list(t.shape), t.kind) for name, t in header.tensors.items()} == {
        t.name: (t.shape.tolist(), t.tensor_type.value) for t in reader.tensors
    }
    assert packed_as(header) == ("Q8_0", 8)


@pytest.mark.parametrize(
    ("changes", "more", "said"),
    [
        ({"rope.scaling.type": "linear"}, {}, "rope.scaling.type: linear"),
        ({"expert_count": 8}, {}, "expert_count: 8"),
        ({}, {"rope_freqs.weight": torch.ones(16).numpy()}, "rope_freqs.weight"),
        ({}, {"blk.0.attn_q.bias": torch.ones(64).numpy()}, "blk.0.attn_q.bias"),
    ],
)
def test_what_transformers_would_pass_over_is_refused(backbone, tmp_path, changes, more, said):
    (file,) = write(tmp_path / "model.gguf", backbone(), changes=changes, more=more)
    with pytest.raises(UserError, match=f"does not carry over .*{said}"):
        conversion.check("mine", Model(source=str(file)))
    with pytest.raises(UserError, match=f"does not carry over .*{said}"):
        converted(file, tmp_path / "made")
    assert not any((tmp_path / "made").iterdir())


def test_a_neutral_setting_passes(backbone, tmp_path):
    (file,) = write(tmp_path / "model.gguf", backbone(), changes={"rope.scaling.type": "none"})
    assert architecture("mine", gguf_header.read([file])) == "LlamaForCausalLM"


def test_a_setting_that_comes_out_otherwise_is_refused(backbone, tmp_path):
    changes = {"attention.value_length": 16}
    (file,) = write(tmp_path / "model.gguf", backbone(), changes=changes)
    with pytest.raises(UserError, match="attention.value_length 16, and .* head_dim 32"):
        converted(file, tmp_path / "made")


def test_a_file_that_is_cut_short_is_refused(backbone, tmp_path):
    (file,) = write(tmp_path / "model.gguf", backbone())
    whole = file.read_bytes()
    file.write_bytes(whole[:500])
    with pytest.raises(UserError, match="model.gguf is not a whole GGUF file"):
        conversion.check("mine", Model(source=str(file)))
    file.write_bytes(whole[:-500])
    with pytest.raises(UserError, match="model.gguf cannot be read as a GGUF file"):
        converted(file, tmp_path / "made")


def test_another_digest_is_refused(backbone, tmp_path):
    (file,) = write(tmp_path / "model.gguf", backbone())
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert converted(file, tmp_path / "made", sha256=digest.upper())[3]["sha256"] == digest
    with pytest.raises(UserError, match=f"is {digest}, and the configuration asks for {'0' * 64}"):
        converted(file, tmp_path / "other", sha256="0" * 64)


def test_pieces_in_packages_are_one_file(backbone, tmp_path, wheels):
    model = backbone()
    (file,) = write(tmp_path / "model.gguf", model)
    data = file.read_bytes()
    cut = 12_345
    wheels("first", **{"data/part0": data[:cut]})
    wheels("second", **{"data/part1": data[cut:]})
    source = "package:first==1.0/data/part0, second==1.0/data/part1"
    made, _, record, body = converted(source, tmp_path / "made")
    assert torch.equal(logits(made), logits(converted(file, tmp_path / "whole")[0]))
    assert body["sha256"] == hashlib.sha256(data).hexdigest() == record["sha256"]
    assert record["source"] == source and record["kind"] == "package"


def test_the_size_of_a_fetched_package_is_known(backbone, tmp_path, wheels):
    from pipeline.models.headers import of_local

    (file,) = write(tmp_path / "model.gguf", backbone(tie_word_embeddings=False))
    wheels("one", m=file.read_bytes())
    section = Model.model_construct(source="package:one==1.0/m", dtype="auto")
    size = of_local(section)
    assert (size.layers, size.width, size.vocabulary) == (2, 96, len(words("Llama")))
    assert size.parameters == backbone(tie_word_embeddings=False).num_parameters()
    assert size.bytes("auto") == 2 * size.parameters
    assert of_local(Model(source="package:two==1.0/m.gguf")) is None


def test_tokens_start_as_the_file_says(backbone, tmp_path):
    write(tmp_path / "model.gguf", backbone("Gemma3ForCausalLM"))
    _, tokenizer, *_ = converted(tmp_path / "model.gguf", tmp_path / "made")
    assert tokenizer("e")["input_ids"][0] == 0
    again = AutoTokenizer.from_pretrained(tmp_path / "made")
    assert again("e")["input_ids"] == tokenizer("e")["input_ids"]
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "made").config.eos_token_id == 1

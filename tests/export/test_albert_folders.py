"""Folders of ALBERT answer as transformers does, those of brightmart/albert_zh as the BERT that they unroll to; SentencePiece files."""

import json
from struct import pack

import numpy as np
import pytest
import torch

import stemma
from stemma.errors import StemmaError
from stemma.export.formats import convert
from stemma.export.huggingface import to_huggingface
from stemma.export.huggingface_in.folder import read_huggingface
from stemma.export.spiece import as_ours, from_spiece
from stemma.export.tensorflow_in import read_tensorflow
from stemma.tokens.tokenizer import Tokenizer

TEXTS = ["the cat sat on the mat", "公园里 a cat 很好", "naive 猫 x"]
WORDS = ["the", "cat", "sat", "on", "mat", "公", "园", "里", "a", "很", "好", "naive", "猫", "x", "##s"]
VOCABULARY = ["[PAD]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
SIZES = {"hidden_size": 20, "num_attention_heads": 4, "intermediate_size": 28, "initializer_range": 0.3, "max_position_embeddings": 24}


def saved(folder, model, vocabulary=VOCABULARY):
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    return folder


def states(model, run, text):
    """transformers' states of the text's tokens, framed as we frame them."""
    ids, types = run.network.frame(run.tokenizer.encode(text).tolist())
    with torch.no_grad():
        return model(torch.tensor([ids]), token_type_ids=torch.tensor([types])).last_hidden_state[0, 1:-1].numpy()


def fills(model, run, text):
    """The likeliest tokens of the text's one mask, and their probabilities, by transformers."""
    ids = run.network.frame([run.tokenizer.specials["mask"], *run.tokenizer.encode(text).tolist()])[0]
    with torch.no_grad():
        out = model(torch.tensor([ids]))
    top = torch.softmax(out["prediction_logits" if "prediction_logits" in out else "logits"][0, 1], -1).topk(5)
    return top.indices.tolist(), top.values.numpy()


def same_fills(model, run):
    places, probabilities = fills(model, run, "sat on the mat")
    (ours,) = run.fill_ids("[MASK] sat on the mat")
    assert [place for place, _ in ours] == places
    np.testing.assert_allclose([probability for _, probability in ours], probabilities, atol=1e-5)


@pytest.mark.parametrize("kind", ["AlbertForPreTraining", "AlbertForMaskedLM", "AlbertModel"])
def test_a_folder_of_transformers_answers_as_there_and_goes_back(tmp_path, kind):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(3)
    more = {"num_hidden_layers": 4, "embedding_size": 12, "num_hidden_groups": 2, "inner_group_num": 2}
    model = getattr(transformers, kind)(transformers.AlbertConfig(vocab_size=len(VOCABULARY), **SIZES, **more)).eval()
    convert(saved(tmp_path / "hf", model), tmp_path / "run", "run")
    run = stemma.load(tmp_path / "run")
    assert run.network.config.groups == run.network.config.blocks_in_layer == 2
    for text, ours in zip(TEXTS, run.vectors(TEXTS), strict=True):
        np.testing.assert_allclose(ours.layers[-1], states(getattr(model, "albert", model), run, text), atol=1e-5)
    if kind == "AlbertModel":
        with pytest.raises(StemmaError, match="saved with its head"):
            run.fill("the [MASK]")
        return
    same_fills(model, run)
    convert(tmp_path / "run", tmp_path / "back", "huggingface")
    same_fills(getattr(transformers, kind).from_pretrained(tmp_path / "back").eval(), run)


def zh_folder(folder, **more):
    """A folder in brightmart's layout, with the names of its PyTorch code, and the BERT of transformers that it unrolls to."""
    from safetensors.torch import save_file
    from transformers import BertConfig, BertForPreTraining

    torch.manual_seed(5)
    model = BertForPreTraining(BertConfig(vocab_size=len(VOCABULARY), num_hidden_layers=3, hidden_act="gelu_new", **SIZES)).eval()
    narrow, wide = torch.randn(len(VOCABULARY), 12), torch.randn(20, 12) * 0.3
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight.copy_(narrow @ wide.t())
        for block in model.bert.encoder.layer[1:]:
            block.load_state_dict(model.bert.encoder.layer[0].state_dict())
    renamed = {name.replace("layer.0.", "layer_shared."): tensor.clone() for name, tensor in model.state_dict().items()}
    theirs = {name: tensor for name, tensor in renamed.items() if not name.startswith("bert.encoder.layer.")}
    theirs |= {f"bert.embeddings.{name}.weight": tensor for name, tensor in (("word_embeddings", narrow), ("word_embeddings_2", wide))}
    theirs |= {"cls.predictions.decoder.weight": narrow.clone(), "cls.predictions.project_layer.weight": wide.t().contiguous()}
    folder.mkdir()
    save_file(theirs, folder / "model.safetensors")
    settings = {"vocab_size": len(VOCABULARY), "embedding_size": 12, "num_hidden_layers": 3, "hidden_act": "gelu_new", "ln_type": "postln"}
    (folder / "config.json").write_text(json.dumps({**SIZES, **settings, "hidden_dropout_prob": 0.0, "type_vocab_size": 2, **more}))
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    return model


def test_a_folder_of_albert_zh_answers_as_the_bert_that_it_unrolls_to(tmp_path):
    pytest.importorskip("transformers")
    model = zh_folder(tmp_path / "zh")
    run = stemma.load(tmp_path / "zh")
    assert (run.row.name, run.network.config.factorised) == ("albert", "tokens")
    for text, ours in zip(TEXTS, run.vectors(TEXTS), strict=True):
        np.testing.assert_allclose(ours.layers[-1], states(model.bert, run, text), atol=1e-5)
    same_fills(model, run)
    with pytest.raises(StemmaError, match=r"model\.factorised"):
        convert(convert(tmp_path / "zh", tmp_path / "run", "run")[0], tmp_path / "hf", "huggingface")
    zh_folder(tmp_path / "preln", ln_type="preln")
    with pytest.raises(StemmaError, match="'postln'"):
        stemma.load(tmp_path / "preln")


def entry(key, value, shared):
    return varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value


def block(pairs):
    """Keys and values as LevelDB writes them: what a key shares with the one before left out, restarts at its end, not compressed."""
    written, before = b"", b""
    for key, value in pairs:
        shared = next((n for n, (a, b) in enumerate(zip(key, before, strict=False)) if a != b), min(len(key), len(before)))
        written, before = written + entry(key, value, shared), key
    return written + bytes(4) + (1).to_bytes(4, "little")


def checkpoint(folder, variables, at_once=7):
    """A checkpoint as TensorFlow writes it: the numbers one after the other, and a table of where each variable stands."""
    data, pairs = b"", [(b"", field(1, 1))]
    for name, array in sorted(variables.items()):
        shape = b"".join(field(2, field(1, size)) for size in array.shape)
        kind = {"float32": 1, "int64": 9}[str(array.dtype)]
        pairs.append((name.encode(), field(1, kind) + field(2, shape) + field(4, len(data)) + field(5, array.nbytes) + field(6, 1.0)))
        data += array.tobytes()
    index, handles = b"", []
    for first in range(0, len(pairs), at_once):
        written = block(pairs[first : first + at_once])
        handles.append((pairs[first : first + at_once][-1][0], varint(len(index)) + varint(len(written))))
        index += written + bytes(5)
    top, place = block(handles), len(index)
    footer = (varint(0) + varint(0) + varint(place) + varint(len(top))).ljust(40, b"\0")
    (folder / "model.ckpt.index").write_bytes(index + top + bytes(5) + footer + bytes.fromhex("57fb808b247547db"))
    (folder / "model.ckpt.data-00000-of-00001").write_bytes(data)


SCOPES = {  # of Google's code, for a layer of a block in transformers
    "attention.query": "attention_1/self/query",
    "attention.key": "attention_1/self/key",
    "attention.value": "attention_1/self/value",
    "attention.dense": "attention_1/output/dense",
    "attention.LayerNorm": "LayerNorm",
    "ffn": "ffn_1/intermediate/dense",
    "ffn_output": "ffn_1/intermediate/output/dense",
    "full_layer_layer_norm": "LayerNorm_1",
}


def googles(model):
    """The variables of Google's code for an AlbertForPreTraining of transformers with two groups."""
    state = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    theirs, scopes = "albert.encoder.albert_layer_groups", {}
    for group in range(2):
        place = f"bert/encoder/transformer/group_{group}/inner_group_0"
        scopes |= {f"{theirs}.{group}.albert_layers.0.{name}": f"{place}/{scope}" for name, scope in SCOPES.items()}
    scopes |= {
        "albert.embeddings.LayerNorm": "bert/embeddings/LayerNorm",
        "albert.encoder.embedding_hidden_mapping_in": "bert/encoder/embedding_hidden_mapping_in",
        "albert.pooler": "bert/pooler/dense",
        "predictions.dense": "cls/predictions/transform/dense",
        "predictions.LayerNorm": "cls/predictions/transform/LayerNorm",
    }
    own = {f"bert/embeddings/{name}": state[f"albert.embeddings.{name}.weight"] for name in ("word_embeddings", "position_embeddings")}
    own["bert/embeddings/token_type_embeddings"] = state["albert.embeddings.token_type_embeddings.weight"]
    for name, scope in scopes.items():
        norm = "LayerNorm" in scope
        own[f"{scope}/{'gamma' if norm else 'kernel'}"] = state[f"{name}.weight"].T
        own[f"{scope}/{'beta' if norm else 'bias'}"] = state[f"{name}.bias"]
    own["cls/predictions/output_bias"] = state["predictions.bias"]
    own["cls/seq_relationship/output_weights"] = state["sop_classifier.classifier.weight"]
    own["cls/seq_relationship/output_bias"] = state["sop_classifier.classifier.bias"]
    return {name: np.ascontiguousarray(array) for name, array in own.items()}


def test_a_checkpoint_of_googles_code_is_read_without_tensorflow(tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(7)
    more = {"num_hidden_layers": 4, "embedding_size": 12, "num_hidden_groups": 2}
    model = transformers.AlbertForPreTraining(transformers.AlbertConfig(vocab_size=len(VOCABULARY), **SIZES, **more)).eval()
    variables = googles(model)
    kept = {f"{name}/adam_m": array for name, array in variables.items()} | {"global_step": np.array(5)}
    checkpoint(tmp_path, variables | kept)
    (tmp_path / "albert_config.json").write_text(json.dumps({**SIZES, **more, "vocab_size": len(VOCABULARY), "hidden_act": "gelu"}))
    (tmp_path / "vocab_chinese.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    convert(tmp_path, tmp_path / "run", "run")
    run = stemma.load(tmp_path / "run")
    assert run.network.config.activation == "gelu_tanh" and run.network.config.groups == 2
    ours = to_huggingface("albert", 2, run.network.state_dict())
    for name, parameter in model.named_parameters():
        if "decoder" not in name:
            torch.testing.assert_close(ours[name], parameter.detach(), atol=0, rtol=0, msg=name)
    whole = (tmp_path / "model.ckpt.index").read_bytes()
    for damaged in (whole[:-1], whole[40:], whole[:60] + whole[-48:], bytes(48), whole[:-48] + bytes(40) + whole[-8:]):
        (tmp_path / "model.ckpt.index").write_bytes(damaged)
        with pytest.raises(StemmaError, match="download the folder again"):
            read_tensorflow(tmp_path)


def test_a_checkpoint_of_bert_answers_as_transformers_does(tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(11)
    own = {**SIZES, "num_hidden_layers": 3, "vocab_size": len(VOCABULARY), "type_vocab_size": 2, "hidden_act": "gelu"}
    model = transformers.BertForPreTraining(transformers.BertConfig(**own)).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # biases and norms too: nothing may pass for its first value
            parameter.add_(0.1 * torch.randn_like(parameter))
    variables = {}
    for name, tensor in model.state_dict().items():
        if "position_ids" in name or "decoder" in name:  # a constant; and the table again, with the bias that has a name of its own
            continue
        scope, _, leaf = name.replace("encoder.layer.", "encoder.layer_").rpartition(".")
        if "_embeddings" in scope:
            scope, leaf = scope.rpartition(".")[0], scope.rpartition(".")[2]
        elif "LayerNorm" in scope:
            leaf = {"weight": "gamma", "bias": "beta"}[leaf]
        elif scope == "cls.seq_relationship" or name == "cls.predictions.bias":
            leaf = {"weight": "output_weights", "bias": "output_bias"}[leaf]
        elif leaf == "weight":
            leaf, tensor = "kernel", tensor.T
        variables[f"{scope}.{leaf}".replace(".", "/")] = np.ascontiguousarray(tensor.numpy())
    assert "bert/encoder/layer_2/attention/output/dense/kernel" in variables and "cls/predictions/output_bias" in variables
    kept = {f"{name}/adam_v": array for name, array in variables.items()} | {"global_step": np.array(5)}
    checkpoint(tmp_path, variables | kept)
    (tmp_path / "bert_config.json").write_text(json.dumps(own))
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    convert(tmp_path, tmp_path / "run", "run")
    run = stemma.load(tmp_path / "run")
    assert run.row.name == "bert" and run.network.config.depth == 3
    for text, found in zip(TEXTS, run.vectors(TEXTS), strict=True):
        np.testing.assert_allclose(found.layers[-1], states(model.bert, run, text), atol=1e-5)
    same_fills(model, run)


def test_a_checkpoint_of_brightmarts_code_is_read_as_its_folder(tmp_path):
    pytest.importorskip("transformers")
    from safetensors.numpy import load_file

    zh_folder(tmp_path / "zh")
    theirs = load_file(tmp_path / "zh" / "model.safetensors")
    names = {"cls.predictions.bias": "cls.predictions.output_bias", "cls.seq_relationship.weight": "cls.seq_relationship.output_weights"}
    names["cls.seq_relationship.bias"] = "cls.seq_relationship.output_bias"
    variables = {}
    for name, array in theirs.items():
        stem, _, leaf = names.get(name, name).rpartition(".")
        if "decoder" in name or "project_layer" in name:
            continue
        if "_embeddings" in stem:
            variables[stem] = array.T if stem.endswith("_2") else array
        elif stem.endswith("LayerNorm"):
            variables[f"{stem}.{'gamma' if leaf == 'weight' else 'beta'}"] = array
        else:
            variables[f"{stem}.{'kernel' if leaf == 'weight' else leaf}"] = array.T if leaf == "weight" else array
    (tmp_path / "tf").mkdir()
    checkpoint(tmp_path / "tf", {name.replace(".", "/"): np.ascontiguousarray(array) for name, array in variables.items()})
    for name in ("config.json", "vocab.txt"):
        (tmp_path / "tf" / name).write_bytes((tmp_path / "zh" / name).read_bytes())
    found, expected = read_tensorflow(tmp_path / "tf"), read_huggingface(tmp_path / "zh")
    assert found.config == expected.config and found.lacking == () and found.arrays.keys() == expected.arrays.keys()
    assert all(np.array_equal(array, expected.arrays[name]) for name, array in found.arrays.items())


def varint(number):
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def field(number, content):
    """A field of a protocol buffer: bytes with their length, a float, or an integer."""
    if isinstance(content, bytes):
        return varint(number << 3 | 2) + varint(len(content)) + content
    return varint(number << 3 | 5) + pack("<f", content) if isinstance(content, float) else varint(number << 3) + varint(content)


SCORES = {"▁": -3.0, "▁the": -4.0, "▁cat": -5.0, "s": -4.5, "▁mat": -6.0, "caf": -7.0, "e": -3.5}
SCORES |= dict.fromkeys("CLS[]", -8.0)


@pytest.fixture
def spiece(tmp_path):
    """A file as SentencePiece writes it: specials, then pieces with their scores, a trainer's and a normaliser's settings."""
    specials = [("<pad>", 3), ("<unk>", 2), ("[CLS]", 3), ("[SEP]", 3), ("[MASK]", 3)]
    pieces = [field(1, piece.encode()) + field(2, 0.0) + field(3, kind) for piece, kind in specials]
    pieces += [field(1, piece.encode()) + field(2, score) for piece, score in SCORES.items()]
    path = tmp_path / "spiece.model"
    path.write_bytes(b"".join(field(1, piece) for piece in pieces) + field(2, field(3, 1)) + field(3, field(1, b"identity")))
    return path


def test_a_sentencepiece_file_cuts_as_its_tokenizer_in_transformers(spiece):
    transformers = pytest.importorskip("transformers")
    vocabulary = [(piece, 0.0) for piece in ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")] + list(SCORES.items())
    theirs = transformers.AlbertTokenizer(vocab=vocabulary)
    ours = Tokenizer.from_json(json.dumps(as_ours(from_spiece(spiece, lowercase=True, accents=False))))
    assert ours.specials == {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
    for text in ("the cats", "The  Café mats\t", "", "cat猫cat", "🦭", "''the''"):
        assert ours.encode(text).tolist() == theirs(text, add_special_tokens=False)["input_ids"], text
    ids, lengths = ours.encode_flat(["the cat", "s the"], [False, True])
    assert lengths.tolist() == [2, 2] and [ours.token(index) for index in ids] == ["▁the", "▁cat", "s", "▁the"]
    cased = Tokenizer.from_json(json.dumps(as_ours(from_spiece(spiece, lowercase=False, accents=True))))
    assert [cased.token(index) for index in cased.encode("[CLS]")] == ["▁", *"[CLS]"]  # a text that names a special is none
    assert ours.decode(ours.encode("the  CATS")) == "the cats"


def test_a_folder_with_a_sentencepiece_file_fills_in_words_and_after_them(spiece, tmp_path):
    """What adjoins a mask adjoins it for the network too: no space is made up between a masked stem and its ending."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(6)
    size = 5 + len(SCORES)
    model = transformers.AlbertForMaskedLM(
        transformers.AlbertConfig(vocab_size=size, num_hidden_layers=2, embedding_size=12, **SIZES)
    ).eval()
    model.save_pretrained(tmp_path)
    run = stemma.load(tmp_path)
    ids = {piece: 5 + place for place, piece in enumerate(SCORES)}
    for text, framed in (("the [MASK]s", [2, ids["▁the"], 4, ids["s"], 3]), ("the[MASK] mat", [2, ids["▁the"], 4, ids["▁mat"], 3])):
        with torch.no_grad():
            logits = model(torch.tensor([framed])).logits[0, 2]
        (ours,) = run.fill_ids(text, k=3)
        assert [place for place, _ in ours] == logits.topk(3).indices.tolist(), text


@pytest.mark.parametrize("content", [b"", b"\xff" * 30, field(2, field(3, 2)), field(1, field(1, b"\xff")), b"\x0a\x7f", field(1, 7)])
def test_a_file_that_is_none_is_refused(tmp_path, content):
    path = tmp_path / "spiece.model"
    path.write_bytes(content)
    with pytest.raises(StemmaError, match="choose another model"):
        from_spiece(path, lowercase=True, accents=False)

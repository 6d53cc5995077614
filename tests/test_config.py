"""The one config reader: sources in order, strict values, and errors that name the mend."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemma.bounds import Natural, Positive, PositiveFloat, Share
from stemma.config import checked, nearest, parse_settings, read_toml, resolve, restore, to_plain
from stemma.errors import UsageError


@dataclass(frozen=True)
class Model:
    width: Positive = 64
    depth: Positive = 2
    dropout: Share = 0.1
    gates: tuple[int, ...] = (1, 2)
    vectors: Path | None = None

    def __post_init__(self) -> None:
        if self.width % 2:
            raise UsageError(f"model.width = {self.width} for a depth of {self.depth}", "an even width", "write an even number")


@dataclass(frozen=True)
class Tokens:
    kind: Literal["word", "wordpiece", "char"] = "wordpiece"
    vocab_size: Natural = 100
    field: str = "text"


@dataclass(frozen=True)
class Training:
    rate: PositiveFloat = 1e-3
    seed: Natural = 0
    steps: Positive | None = None
    notes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Objective:
    seed: Natural = 1
    order: Positive = 5


@dataclass(frozen=True)
class Needs:
    path: str


SECTIONS = {"model": Model, "tokenizer": Tokens, "training": Training, "objective": Objective}


def settled(*settings):
    return resolve(SECTIONS, ("--set", parse_settings(settings)))


def test_defaults_stand_when_nothing_is_said():
    assert resolve(SECTIONS) == {"model": Model(), "tokenizer": Tokens(), "training": Training(), "objective": Objective()}


def test_later_sources_win_key_by_key():
    configs = resolve(
        SECTIONS,
        ("preset", {"model": {"width": 32, "depth": 4}}),
        ("my.toml", {"model": {"width": 16}}),
        ("--set", {"model": {"width": 8}}),
    )
    assert (configs["model"].width, configs["model"].depth) == (8, 4)


def test_a_bare_key_finds_its_one_section_and_a_bare_section_its_first_key():
    configs = settled("order=3", "tokenizer=word", "vocab_size=7")
    assert configs["objective"].order == 3
    assert configs["tokenizer"] == Tokens("word", 7)


def test_values_are_read_as_toml_else_as_text():
    assert parse_settings(["a.b=1", "a.c=[1, 2]", "d=1e-3", "e=true", "f=中文 词", 'g="5"', "h=x=y"]) == {
        "a": {"b": 1, "c": [1, 2]}, "d": 1e-3, "e": True, "f": "中文 词", "g": "5", "h": "x=y",
    }  # fmt: skip


def test_lists_become_tuples_and_text_becomes_a_path():
    model = settled("model.gates=[3, 4, 5]", "model.vectors=词/v.txt")["model"]
    assert model.gates == (3, 4, 5)
    assert model.vectors == Path("词/v.txt")


def test_a_whole_number_serves_where_a_real_one_is_asked():
    assert settled("dropout=0")["model"].dropout == 0.0


@pytest.mark.parametrize(
    ("settings", "wrong", "mend"),
    [
        (["widht=3"], "--set: unknown key 'widht'", "did you mean 'width'"),
        (["model.widht=3"], "unknown key model.widht", "did you mean 'width'"),
        (["modle.width=3"], "unknown key 'modle'", "did you mean 'model'"),
        (["tokenizer=wordpeice"], "tokenizer.kind = 'wordpeice'", "did you mean 'wordpiece'"),
        (["seed=3"], "'seed' stands in several sections", "write training.seed or objective.seed"),
        (["model.width"], "'model.width' is not key=value", "--set model.width=64"),
        (["model.=3"], "is not key=value", "--set model.width=64"),
        (["=3"], "is not key=value", "--set model.width=64"),
        (["model.width=1", "model.width.x=2"], "set both whole and by its keys", "drop one"),
        (["model.width=1", "model=2"], "set both whole and by its keys", "drop one"),
        (["model.width=0"], "model.width = 0", "the default is 64"),
        (['model.width="8"'], "model.width = '8'", "the default is 64"),
        (["model.width=true"], "model.width = True", "the default is 64"),
        (["model.width=2.5"], "model.width = 2.5", "the default is 64"),
        (["model.gates=3"], "model.gates = 3", r"write it like model.gates=\[3\]"),
        (["dropout=1.5"], "model.dropout = 1.5", "the default is 0.1"),
        (["rate=0"], "training.rate = 0", "the default is 0.001"),
        (["tokenizer.field=5"], "tokenizer.field = 5", 'quote it: tokenizer.field = "5"'),
        (["training.steps=many"], "training.steps = 'many'", "mend training.steps"),
        (["model.width=7"], "--set: model.width = 7 for", "write an even number"),
        (["preset=tiny"], "--set: unknown key 'preset'", "no setting: write --preset tiny"),
        (["model.preset=tiny"], "--set: unknown key model.preset", "no setting: write --preset tiny"),
        (["continue_from=runs/a"], "unknown key 'continue_from'", "write --continue-from runs/a"),
        (["training.dev=[1]"], "unknown key training.dev", "write --dev …"),
    ],
)
def test_a_mistake_is_named_with_its_mend(settings, wrong, mend):
    with pytest.raises(UsageError, match=mend) as caught:
        settled(*settings)
    assert wrong in caught.value.wrong


def test_the_error_names_the_source_the_value_came_from():
    with pytest.raises(UsageError, match="the default is 64") as caught:
        preset, file, settings = {"model": {"width": 8}}, {"model": {"width": -1}}, {"model": {"depth": 1}}
        resolve(SECTIONS, ("preset tiny", preset), ("my.toml", file), ("--set", settings))
    assert caught.value.wrong == "my.toml: model.width = -1."
    assert "greater than 0" in caught.value.expected


def test_a_check_across_keys_names_the_source_of_the_key_at_fault():
    with pytest.raises(UsageError, match="write an even number") as caught:
        resolve(SECTIONS, ("preset tiny", {"model": {"depth": 3}}), ("my.toml", {"model": {"width": 7}}))
    assert caught.value.wrong == "my.toml: model.width = 7 for a depth of 3."


def test_a_key_without_a_default_must_be_set():
    with pytest.raises(UsageError, match=r"set corpus\.path"):
        resolve({"corpus": Needs})


def test_a_table_for_a_section_that_has_no_keys_is_refused():
    @dataclass(frozen=True)
    class Nothing:
        pass

    with pytest.raises(UsageError, match="drop objective"):
        resolve({"objective": Nothing}, ("--set", {"objective": "windows"}))


def test_toml_is_read_with_its_tables(tmp_path):
    path = tmp_path / "f.toml"
    path.write_text('order = 3\n[model]\nwidth = 10\n[tokenizer]\nkind = "char"\nfield = "正文"\n', encoding="utf-8")
    configs = resolve(SECTIONS, (str(path), read_toml(path)))
    assert (configs["objective"].order, configs["model"].width, configs["tokenizer"].field) == (3, 10, "正文")


@pytest.mark.parametrize(
    ("content", "mend"),
    [(b"width = = 3", "mend the line it names"), (b"a = 'caf\xe9'", "mend the line it names"), (None, "check the path")],
)
def test_a_bad_config_file_is_reported_with_its_path(tmp_path, content, mend):
    path = tmp_path / "f.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=mend) as caught:
        read_toml(path)
    assert str(path) in caught.value.wrong


def test_a_folder_given_as_config_is_refused(tmp_path):
    with pytest.raises(UsageError, match="check the path"):
        read_toml(tmp_path)


def test_to_plain_is_what_resolve_reads_back():
    configs = settled("model.gates=[9]", "model.vectors=v.bin", "steps=4", "dropout=0.5")
    assert resolve(SECTIONS, ("config.json", to_plain(configs))) == configs


@given(st.integers(1, 4096).map(lambda n: n * 2), st.floats(0, 1), st.text(max_size=8))
def test_any_config_survives_the_round_trip(width, dropout, name):
    configs = resolve(SECTIONS, ("here", {"model": {"width": width, "dropout": dropout}, "tokenizer": {"field": name}}))
    again = resolve(SECTIONS, ("there", to_plain(configs)))
    assert again == configs
    assert again["tokenizer"].field == name


@pytest.mark.parametrize("word", ["", "zzz", "词", "🙂"])
def test_nearest_lists_what_is_known_when_nothing_is_near(word):
    assert nearest(word, ["b", "a", "a"]) == "known: a, b"


def test_a_saved_config_is_restored_as_it_was():
    model = Model(width=20, gates=(7, 8, 9), vectors=Path("v.vec"))
    saved = json.loads(json.dumps(to_plain(model)))
    assert restore(Model, saved, "config.json") == model and restore(Tokens, {}, "config.json") == Tokens()


def test_what_an_older_version_did_not_write_takes_its_default():
    assert restore(Model, {"width": 20}, "config.json") == Model(width=20)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"widht": 20}, "config.json: unknown key.*'width'"),
        ({"width": "20"}, r"config\.json: .*width = '20'"),
        ({"width": 21}, "even number"),
    ],
)
def test_a_saved_config_is_read_strictly(table, message):
    with pytest.raises(UsageError, match=f"(?s){message}"):
        restore(Model, table, "config.json")


@pytest.mark.parametrize(
    ("generation", "setting", "message"),
    [
        ("gpt", "model.depth=1000000", "less than or equal to 1024"),
        ("gpt", "model.width=1000000000", "less than or equal to 131072"),
        ("bert", "model.width=99999999999999999999", "less than or equal to"),
        ("lstm", "model.dropout=1", "less than 1"),
        ("gpt", "training.betas=[1.0,1.0]", "less than 1"),
        ("gpt", "training.epochs=inf", "less than inf"),
        ("gpt", "training.rate=1e999", "less than inf"),
        ("gpt", "training.steps=10000000000000000000000", "less than or equal to"),
        ("gpt", "training.accumulate=99999999999999", "less than or equal to"),
        ("gpt", "tokenizer.vocab_size=999999999999", "less than or equal to"),
        ("gpt", "model.width=" + "9" * 4301, "valid integer"),
        ("gpt", "model.width=" + "[" * 5000, "valid integer"),
        ("ngram", "model.order=256", "less than or equal to 255"),
        ("word2vec", "model.buckets=2147483648", "less than 2147483648"),
    ],
)
def test_a_slip_of_the_pen_is_refused_before_any_work(generation, setting, message):
    from stemma.training.request import Request, job_of

    with pytest.raises(UsageError, match=message):
        job_of(Request.of(generation, "no such corpus", settings=[setting]))


@pytest.mark.parametrize(
    ("generation", "settings", "message"),
    [
        ("seq2seq", "model.attention=general model.inner=64", r"model\.inner = 64 with model\.attention = general, where nothing reads it"),
        ("seq2seq", "model.inner=64", r"model\.attention = additive or concat.*drop model\.inner"),  # the preset's attention is another
        ("seq2seq", "objective.kind=translation objective.share=0.3", r"objective\.kind = auto or denoising.*drop objective\.share"),
        ("transformer", "objective.kind=denoising objective.reverse=true", r"drop objective\.reverse"),
        ("word2vec", "model.buckets=5000", r"with model\.subwords = false.*model\.subwords = true"),
        ("word2vec", "objective.sample=0 objective.subsample=paper", r"objective\.sample above 0"),
        ("bert", "objective.longest=2", r"objective\.units = ngrams"),
        ("albert", "model.sharing=none model.groups=2", r"drop model\.groups"),
        ("ngram", "model.method=mle model.discount_fallback=false", r"drop model\.discount_fallback"),
        ("gpt", "tokenizer.min_count=3", r"with tokenizer\.kind = bpe"),
        ("gpt", "training.schedule=slanted training.floor=0.1", r"drop training\.floor"),
        ("gpt", "training.decay=2", r"training\.schedule = steps"),
        ("gpt", "corpus.format=text corpus.field=body", r"drop corpus\.field"),
    ],
)
def test_a_setting_that_nothing_reads_is_refused(generation, settings, message):
    from stemma.training.request import Request, job_of

    with pytest.raises(UsageError, match=f"(?s)--set: .*{message}"):
        job_of(Request.of(generation, "no such corpus", settings=settings.split()))


@pytest.mark.parametrize(
    ("generation", "settings"),
    [
        ("seq2seq", "model.attention=additive model.inner=64"),
        ("seq2seq", "preset=base"),  # a preset may hold what another choice leaves unread
        ("seq2seq", "objective.share=0.3"),  # whether there are pairs is not known yet
        ("albert", "objective.longest=2"),
        ("gpt", "tokenizer.min_count=1"),  # as it is anyway
    ],
)
def test_a_setting_that_is_read_stands(generation, settings):
    from stemma.training.request import Request, job_of

    preset = settings.removeprefix("preset=") if settings.startswith("preset=") else None
    job_of(Request.of(generation, "no such corpus", preset=preset, settings=["model.attention=general"] if preset else settings.split()))


def test_a_setting_of_transfer_that_nothing_reads_is_refused():
    from stemma.api import transfer_sections

    for settings, frozen in ((["transfer.freeze_layers='0-1'"], True), (["transfer.layers=[-1]"], False)):
        with pytest.raises(UsageError, match=r"with transfer\.mode = .*where nothing reads it"):
            transfer_sections("classify", None, settings, frozen)
    assert transfer_sections("classify", None, ["transfer.layers=[-1]"], True)[0].layers == (-1,)


def test_every_mark_names_a_key_of_its_section_and_values_that_it_takes():
    from stemma.cli.described import described
    from stemma.config import read_if
    from stemma.lineage.table import TABLE, find
    from stemma.tasks.table import TASKS, task_config
    from stemma.training.request import section_types
    from stemma.transfer.settings import Config as Transfer

    sections = (
        [section_types(row) for row in TABLE if row.ready] + [{"transfer": Transfer}] + [{"task": task_config(name)} for name in TASKS]
    )
    marks = [
        (cls, mark)
        for cls in dict.fromkeys(cls for types in sections for cls in types.values())
        for one in dataclasses.fields(cls)
        for mark in read_if(one)
    ]
    assert len(marks) > 20
    for cls, mark in marks:
        takes = {setting.key: setting.takes for setting in described({"it": cls}, {})["it"]}[mark.key].split(" or ")
        assert {str(value).lower() if isinstance(value, bool) else value for value in mark.values} <= set(takes), (cls, mark)
    inner = next(one for one in described(section_types(find("seq2seq")), {})["model"] if one.key == "inner")
    assert inner.about.endswith("; read where attention = additive or concat")


@pytest.mark.parametrize("name", ["undefined", "rot13", "base64", "idna", "punycode", "a\0b", "no such"])
def test_an_encoding_that_reads_no_bytes_is_refused(name):
    from stemma.corpus.encoding import codec

    with pytest.raises(UsageError, match="is not known"):
        codec(name)


def test_a_toml_file_without_end_is_refused(tmp_path):
    for text in ("[" * 5000, "a = " + "[" * 5000, "a = " + "9" * 4301):
        (tmp_path / "x.toml").write_text(text, encoding="utf-8")
        with pytest.raises(UsageError, match=r"x\.toml"):
            read_toml(tmp_path / "x.toml")


def _numbers() -> list[tuple[str, type, str]]:
    """Every setting of every generation, of transfer and of a comparison whose default is a number with a fraction."""
    from stemma.evaluation.comparison.plan import Config as Compare
    from stemma.lineage.table import TABLE
    from stemma.tokens.tokenizer import Config as Tokens
    from stemma.training.settings import SETTINGS
    from stemma.transfer.settings import Config as Transfer

    sections = [("transfer", Transfer), ("compare", Compare), ("tokenizer", Tokens)]
    for row in TABLE:
        if row.ready:
            sections += [*row.sections().items(), ("training", SETTINGS[row.updates])]
    found = [(name, cls, f.name) for name, cls in sections for f in dataclasses.fields(cls) if isinstance(f.default, float)]
    return list(dict.fromkeys(found))


@pytest.mark.parametrize(("section", "cls", "key"), _numbers(), ids=lambda value: getattr(value, "__module__", value))
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_no_number_is_endless_or_none(section, cls, key, value):
    with pytest.raises(UsageError, match=key):
        resolve({section: cls}, ("--set", {section: {key: value}}))


def test_a_config_made_by_hand_is_checked_as_one_from_a_file():
    from stemma.transfer.settings import Config as Transfer

    assert checked("transfer", Transfer(epochs=2), "Python") == Transfer(epochs=2)
    for wrong in (Transfer(mode="froozen"), Transfer(epochs=-1), Transfer(epochs=True), Transfer(grid=(0.0,)), Transfer(layer_decay=2.0)):
        with pytest.raises(UsageError, match=r"Python: transfer\.(mode|epochs|grid|layer_decay)"):
            checked("transfer", wrong, "Python")

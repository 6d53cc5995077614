"""Tasks posed as text: chances restated by hand, properties of comparing answers, and what stands beside them; English and Chinese."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

import stemma
from stemma.corpus.document import Document
from stemma.errors import DataError, UsageError
from stemma.evaluation.measures.chance import judged
from stemma.evaluation.measures.choosing import chances, worth
from stemma.evaluation.measures.intervals import area_effects, interval_of
from stemma.evaluation.measures.posed import Posed, label_words
from stemma.evaluation.measures.templates import Template, behind, between
from stemma.evaluation.measures.zero_shot import zero_shot
from stemma.lineage import bert, gpt
from stemma.lineage.table import find
from stemma.runs.run import Run
from stemma.tasks.rouge import rouge
from stemma.tasks.table import make_task
from stemma.tokens.settings import Config
from stemma.tokens.tokenizer import train
from stemma.training.pretrain import pretrain
from stemma.training.request import Request

SPORT, FOOD = (
    ["the team won the match", "a team lost the match", "球队赢了比赛"],
    ["the soup was hot", "a cook made the soup", "厨师做了热汤"],
)
TEXTS = [f"{text} . this is about {topic} ." for topic, texts in (("sport", SPORT), ("food", FOOD)) for text in texts]
LABELLED = [("sport", text) for text in SPORT] + [("food", text) for text in FOOD]
TEMPLATE = "{text} . this is about {label} ."


def network_run(name, module, network, kind, **options):
    tokenizer = train(iter(TEXTS * 3), Config(kind=kind, vocab_size=options.pop("vocab_size", 130), words="rjieba"))
    torch.manual_seed(1)
    net = getattr(module, network)(module.Config(width=16, depth=1, heads=2, inner=32, **options), tokenizer.facts()).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(6)  # far from even
    return Run(None, find(name), tokenizer, net)


@pytest.fixture(scope="module")
def ngram(tmp_path_factory):
    home = tmp_path_factory.mktemp("ngram")
    corpus = home / "corpus.txt"
    corpus.write_text("\n\n".join(TEXTS * 20), encoding="utf-8")
    settings = ("training.held_out=0", "tokenizer.min_count=1", "model.order=6")
    return Run.open(pretrain(Request("ngram", (str(corpus),), "tiny", None, settings, (), 1), out=home / "run").path)


@pytest.fixture(scope="module")
def runs(ngram):
    return {
        "ngram": ngram,
        "gpt": network_run("gpt", gpt, "GPT", "bpe", max_length=64, dropout=0.0, vocab_size=300),
        "bert": network_run("bert", bert, "BERT", "wordpiece", max_length=64, dropout=0.0),
    }


def nats_by_hand(run, slot):
    """(nats, tokens) of a slot's answer, one text at a time."""
    if run.row.name == "bert":
        (ids, _, starts), (_, spans) = run.tokenizer.encode_words([slot.text]), run.tokenizer.encode_offsets(slot.text)
        words, total = np.cumsum(starts), 0.0
        gap = [n for n, (first, last) in enumerate(spans) if last > slot.start and first < slot.end]
        for place in gap:
            hidden = [n for n in range(place, len(ids)) if (n in gap if slot.whole else words[n] == words[place])]
            masked = [run.tokenizer.specials["mask"] if n in hidden else int(i) for n, i in enumerate(ids)]
            framed, types = run.network.frame(masked)
            scores = run.network.fill({"ids": torch.tensor([framed]), "types": torch.tensor([types])})
            total -= float(scores[0].log_softmax(-1)[int(ids[place])])
        return total, len(gap)
    _, spans = run.tokenizer.encode_offsets(slot.text)
    before = sum(end <= slot.start for _, end in spans)
    if run.row.name == "gpt":
        own = [token.nats for token in run.score_tokens(slot.text)[:-1]]
        return sum(own[before:]), len(own) - before
    context = slot.text[: ([0] + [end for _, end in spans])[before]]
    scores = run.score_documents([Document((text,), "x:1") for text in (slot.text, context)])
    whole, context = (score.nats + score.spelling for score in scores)
    return whole - context, len(spans) - before


@pytest.mark.parametrize("name", ["ngram", "gpt", "bert"])
def test_the_worth_of_answers_is_their_log_probability_by_hand(runs, name):
    run, template = runs[name], Template.of(TEMPLATE, ["text"])
    slots = [template.filled(word, text=text) for _, text in LABELLED for word in ("sport", "food", "the team")]
    slots += [behind(context, text) for context, text in zip(SPORT, FOOD, strict=True)] + [between("team won", "the", " the match 😀")]
    priced = [nats_by_hand(run, slot) for slot in slots]
    assert all(tokens > 0 for _, tokens in priced) and any(tokens > 1 for _, tokens in priced)
    assert worth(run, slots, slots, "none").tolist() == pytest.approx([-nats for nats, _ in priced], rel=1e-4, abs=1e-5)
    assert worth(run, slots, slots, "length").tolist() == pytest.approx([-nats / tokens for nats, tokens in priced], rel=1e-4, abs=1e-5)
    bare = [template.filled(word, text="") for _ in LABELLED for word in ("sport", "food", "the team")]
    bare += [behind("", text) for text in FOOD] + [between("team won", "", "")]
    expected = [nats_by_hand(run, without)[0] - nats for without, (nats, _) in zip(bare, priced, strict=True)]
    assert worth(run, slots, bare, "pmi").tolist() == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("name", ["ngram", "gpt", "bert"])
def test_without_the_text_in_it_a_template_makes_no_answer_likelier(runs, name):
    slots = [Template("this is about ", " .").filled(word, text=text) for _, text in LABELLED for word in ("sport", "food")]
    assert worth(runs[name], slots, slots, "pmi").tolist() == pytest.approx([0.0] * len(slots), abs=1e-5)  # float32, batch by batch


@pytest.mark.parametrize("name", ["ngram", "gpt", "bert"])
@pytest.mark.parametrize("normalise", ["length", "pmi", "none"])
def test_words_that_change_labels_change_the_answers_with_them(runs, name, normalise):
    task, right = make_task("classify"), []
    examples = task.given(LABELLED)
    for words in ({"sport": "sport", "food": "food"}, {"sport": "food", "food": "sport"}):
        right.append(zero_shot(runs[name], task, examples, Posed(TEMPLATE, words, normalise))["measures"]["accuracy"]["value"])
    assert sum(right) == pytest.approx(1)  # of two labels what was right is wrong, and the other way round


def test_an_ngram_that_saw_the_template_answers_it_and_a_drawn_network_is_told_at_chance(runs):
    task = make_task("classify")
    examples = task.given(LABELLED * 5)
    found = zero_shot(runs["ngram"], task, examples, Posed(TEMPLATE))
    assert found["measures"]["accuracy"]["value"] > 0.8 and found["doubt"] == "" and found["above_chance"]["low"] > 0
    assert found["chance"] == {
        "how": "always 'food'",
        "measure": "accuracy",
        "title": "accuracy",
        "share": True,
        "value": 0.5,
        "by_lot": 0.5,
    } and found["words"] == {
        "food": "food",
        "sport": "sport",
    }
    assert stemma.zero_shot(runs["ngram"].path, LABELLED * 5, template=TEMPLATE) == found
    drawn = zero_shot(runs["gpt"], task, examples[::7], Posed(TEMPLATE))
    assert drawn["doubt"].startswith("at chance at this scale: its accuracy is not above that of always")
    assert json.dumps(found, allow_nan=False) and zero_shot(runs["ngram"], task, examples, Posed(TEMPLATE, limit=7))["examples"] == 7


def test_a_run_that_does_not_see_the_text_from_the_answer_is_told_so(runs):
    """An n-gram is blind to what stands further away than it reaches: all labels are equally likelier, and the first one is given."""
    template = "{text} " + "the soup was hot " * 4 + ". this is about {label} ."
    task = make_task("classify")
    found = zero_shot(runs["ngram"], task, task.given(LABELLED), Posed(template, normalise="pmi"))
    assert found["doubt"].endswith("it answers 'food' whatever the text is") and found["measures"]["accuracy"]["value"] == 0.5


@pytest.mark.parametrize("name", ["ngram", "gpt", "bert"])
def test_candidates_follow_their_context_or_fill_its_blank(runs, name):
    task = make_task("choice")
    rows = [
        ("1", "the team won", ["the match", "the soup"]),
        ("B", "a cook made the ____ .", ["match", "soup"]),
        ("2", "球队", ["做了热汤", "赢了比赛"]),
    ]
    examples = task.given(rows)
    found = zero_shot(runs[name], task, examples, Posed(normalise="none"))
    assert (found["examples"], found["in_blanks"], found["chance"]["value"]) == (3, 1, 0.5)
    slots = [
        [behind("the team won", text) for text in rows[0][2]],
        [between(text, "a cook made the ", " .") for text in rows[1][2]],
        [behind("球队", text) for text in rows[2][2]],
    ]
    best = [int(np.argmin([nats_by_hand(runs[name], slot)[0] for slot in own])) for own in slots]
    assert found["measures"]["accuracy"]["value"] == pytest.approx(
        np.mean([own == one.right for own, one in zip(best, examples, strict=True)])
    )
    turned = task.given([(str(2 - one.right), one.context, one.candidates[::-1]) for one in examples])
    assert zero_shot(runs[name], task, turned, Posed(normalise="none"))["measures"]["accuracy"] == found["measures"]["accuracy"]


def test_likeness_ranks_pairs_and_numbers(runs):
    pairs = [("1", a, a) for a in SPORT + FOOD] + [("0", a, b) for a, b in zip(SPORT, FOOD, strict=True)]
    task = make_task("pair")
    for name, way in (("bert", "cosine"), ("gpt", "cosine"), ("ngram", "likelier")):
        found = zero_shot(runs[name], task, task.given(pairs), Posed())
        assert way in found["way"] and (found["alike"], found["chance"]["value"]) == ("1", 0.5)
    bert_run = runs["bert"]
    ours, theirs = (bert_run.embed(list(texts), normalise=True) for texts in zip(*[pair[1:] for pair in pairs], strict=True))
    found = zero_shot(bert_run, task, task.given(pairs), Posed())
    assert found["measures"]["area"]["value"] == pytest.approx(roc_auc_score([pair[0] == "1" for pair in pairs], (ours * theirs).sum(1)))
    graded = make_task("regress")
    numbers = zero_shot(bert_run, graded, graded.given([(float(n), a, b) for n, a, b in pairs]), Posed())
    assert numbers["measures"]["pearson"]["value"] > 0.5 and "mse" not in numbers["measures"] and numbers["chance"]["value"] == 0


def test_pairs_have_words_for_their_labels_too(runs):
    task = make_task("pair")
    examples = task.given([("yes", a, b) for a, b in pairwise(SPORT)] + [("no", a, b) for a, b in zip(SPORT, FOOD, strict=True)])
    found = zero_shot(runs["gpt"], task, examples, Posed(verbalise={"yes": "also", "no": "but"}))
    assert found["template"] == "{text} {label}, {text_b}" and found["words"] == {"no": "but", "yes": "also"}


def test_the_area_has_delongs_interval():
    scores, positive = np.array([3.0, 1.0, 2.0, 2.0, 0.5, 4.0]), np.array([True, False, True, False, False, True])
    found = area_effects(scores, positive)
    assert found.value == pytest.approx(roc_auc_score(positive, scores))
    wins = np.array([[(a > b) + (a == b) / 2 for b in scores[~positive]] for a in scores[positive]])
    variance = wins.mean(1).var(ddof=1) / 3 + wins.mean(0).var(ddof=1) / 3
    assert found.moves.sum() == pytest.approx(0) and (found.moves**2).sum() / 36 == pytest.approx(variance * 2 / 3)
    assert 0 < interval_of(found).low < found.value < interval_of(found).high <= 1


@pytest.mark.parametrize("name", ["ngram", "gpt"])
def test_targets_are_written_after_prompts_and_stand_beside_the_source(runs, name):
    sources = ["The team won. The match was long. It rained. They went home.", "厨师做了热汤。汤很热。大家都喝了。天黑了。"] * 3
    task = make_task("generate")
    examples = task.given([(source, source[:12]) for source in sources])
    found = zero_shot(runs[name], task, examples, Posed())
    assert found["chance"]["how"] == "the source's first 3 sentences" and len(found["seen"]) == 3
    lead = ["The team won. The match was long. It rained.", "厨师做了热汤。汤很热。大家都喝了。"]
    expected = np.mean([rouge(text, source[:12])[0] for text, source in zip(lead, sources, strict=False)])
    assert found["chance"]["value"] == pytest.approx(expected) and found["measures"]["rouge_l"]["value"] <= 1
    pairs = make_task("translate")
    translated = zero_shot(runs[name], pairs, pairs.given([(source, source) for source in sources]), Posed())
    assert (translated["shown"], translated["examples"], translated["chance"]["value"]) == (3, 3, pytest.approx(100))
    assert (
        "at chance" in translated["doubt"] and 0 <= translated["measures"]["bleu"]["low"] <= translated["measures"]["bleu"]["high"] <= 100
    )


def test_a_run_that_saw_the_pattern_translates_by_the_prompt(tmp_path):
    """Lines `a = A` of a text are all that an n-gram needs to go on with one: the first pairs of the file are its prompt."""
    pairs = [("red", "rot"), ("house", "haus"), ("花", "flower"), ("blue", "blau")]
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("".join(f"{a} = {b}\n" for a, b in pairs * 30), encoding="utf-8")
    settings = ("training.held_out=0", "tokenizer.min_count=1", "model.order=3")
    run = Run.open(pretrain(Request("ngram", (str(corpus),), "tiny", None, settings, (), 1), out=tmp_path / "run").path)
    task = make_task("translate")
    found = zero_shot(run, task, task.given(pairs), Posed())
    assert [row["written"].split()[0] for row in found["seen"]] == ["flower", "blau"]


@pytest.mark.parametrize(
    ("task", "rows", "posed", "wrong"),
    [
        ("tag", [], Posed(), "task tag without training"),
        ("classify", LABELLED, Posed("{text} {lable}"), "field {lable}"),
        ("classify", LABELLED, Posed("{text} no field"), "has no {label}"),
        ("classify", LABELLED, Posed("{label} alone"), "has no {text}"),
        ("classify", LABELLED, Posed("{text} {label} {label}"), "more than one {label}"),
        ("classify", LABELLED, Posed(verbalise={"spotr": "x"}), "did you mean 'sport'"),
        ("classify", LABELLED, Posed(verbalise={"sport": "food"}), "same word"),
        ("choice", [("1", "a", ["b", "c"])], Posed(verbalise={"a": "b"}), "verbalise for the task choice"),
        ("regress", [("1", "a", "b"), ("2", "b", "c")], Posed("{text}"), "template for the task regress"),
        ("regress", [("1", "a"), ("2", "b")], Posed(), "numbers for single texts"),
        ("pair", [(label, "a", "b") for label in "xyz"], Posed(), "add --verbalise"),
        ("generate", [("a b", "c")], Posed("no field"), "has no {text}"),
        ("translate", [("a b", "c")], Posed(normalise="pmi"), "normalise for the task translate"),
    ],
)
def test_what_cannot_be_posed_is_refused(runs, task, rows, posed, wrong):
    made = make_task(task)
    with pytest.raises(UsageError) as error:
        zero_shot(runs["gpt"], made, made.given(rows) if rows else [], posed)
    assert wrong in str(error.value)


def test_who_cannot_answer_says_so(runs):
    task, vectors = make_task("classify"), Run(None, find("word2vec"), None, None)
    with pytest.raises(UsageError, match="word2vec gives no likelihood to an answer"):
        zero_shot(vectors, task, task.given(LABELLED), Posed())
    with pytest.raises(UsageError, match="cannot generate"):
        zero_shot(runs["bert"], make_task("generate"), make_task("generate").given([("a b", "c")]), Posed())
    with pytest.raises(DataError, match="2 blanks in the context"):
        zero_shot(runs["gpt"], make_task("choice"), make_task("choice").given([("1", "a ___ b ___", ["x", "y"])]), Posed())
    with pytest.raises(UsageError, match="normalise 'lenght'"):
        Posed(normalise="lenght")
    with pytest.raises(UsageError, match="limit"):
        Posed(limit=-1)


def test_answers_without_a_token_are_never_chosen():
    assert chances(np.array([-np.inf, 2.0, 2.0])).tolist() == pytest.approx([0, 0.5, 0.5])
    assert chances(np.full(4, -np.inf)).tolist() == [0.25] * 4
    assert label_words(["0", "world_news"], {"0": "坏"}) == ["坏", "world news"]


@pytest.mark.parametrize("count", [1, 2])
def test_of_few_examples_the_difference_stays_where_shares_can_be(count):
    """One example answered wrong that the commonest label has right was told as 1 below chance, from -13.7 to 11.7."""
    task = make_task("classify")
    targets, gold = {"labels": ["neg", "pos"], "several": False, "pairs": False}, np.zeros(count, np.int64)
    found = judged(task, targets, gold, gold + 1, gold, "always 'neg'")
    assert found["above_chance"]["value"] == -1 == found["above_chance"]["low"] and found["above_chance"]["high"] <= 1 and found["doubt"]

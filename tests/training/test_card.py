"""The card tells its figures in words, and has no row for what there is nothing to tell of."""

from stemma.training.card import write_card


def test_costs_are_told_in_words_and_no_notes_have_no_row():
    config = {"stemma": "0.1.0", "identity": {"generation": "ngram", "corpus": ["红楼梦.txt"]}, "sections": {}}
    characters = {"characters_used": 9, "characters_in": 10, "documents": 1, "sentences": 2, "notes": {}, "rejected": {"line ends": 1}}
    costs = {"reading": {"seconds": 1.25, "cpu_seconds": 2.0}, "found": False}
    done = {"kind": "done", "loss": 1.0, "notes": [], "ingested": costs}
    card = write_card("n-gram", "Kneser & Ney 1995", config, done, {"characters": characters, "tokens": {"used": 7}}, ())
    assert "| ingested | (reading (seconds 1.25, cpu seconds 2), found False) |" in card
    assert "| notes |" not in card and "{" not in card
    assert "a bad row, a worse one" in write_card(
        "n-gram", "Kneser & Ney 1995", config, {**done, "notes": ["a bad row, a worse one"]}, {"characters": characters, "tokens": {}}, ()
    )

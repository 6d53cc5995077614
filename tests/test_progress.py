"""What a training loop's facts look like on stderr, on a terminal and in a log."""

import json
from io import StringIO

import pytest

from stemma.cli.progress import Progress, duration, event, measures
from stemma.training.facts import Ahead, Counting, EpochEnd, HeldOut, Note, Prepared, Saved, StageEnd, Update, from_json, to_json


def fact(step=1, steps=10, loss=4.25, speed=12345.6, of=""):
    return Update(step, steps, 0, loss, 0.0, 1.0, speed, 62.0, of=of)


class Terminal(StringIO):
    def isatty(self):
        return True


def test_a_log_gets_plain_lines_with_loss_speed_and_time_left():
    log = StringIO()
    with Progress(log, every_seconds=0) as progress:
        progress(fact())
    assert log.getvalue() == "step 1 of 10 · loss 4.250 · 12,346 tokens/s · 1 min 02 s left\n"


def test_a_log_is_not_flooded_but_gets_the_first_and_the_last_step():
    log = StringIO()
    with Progress(log, every_seconds=1000) as progress:
        for step in range(1, 11):
            progress(fact(step=step))
    assert [line.split(" ·")[0] for line in log.getvalue().splitlines()] == ["step 1 of 10", "step 10 of 10"]


def test_notes_evaluations_and_saves_are_always_reported():
    log = StringIO()
    with Progress(log, every_seconds=1000) as progress:
        progress(Note("读取 corpus.txt"))
        progress(HeldOut(5, 0, 3.5, 1.0))
        progress(Saved(5))
    assert log.getvalue().splitlines() == ["读取 corpus.txt", "held out at step 5: loss 3.500", "saved at step 5"]


def test_a_terminal_gets_a_bar_that_is_put_away_even_after_an_error():
    screen = Terminal()
    with pytest.raises(RuntimeError), Progress(screen) as progress:
        for step in (1, 2, 1):  # the third begins another run
            progress(fact(step=step))
        progress(Note("[bold]not markup"))
        raise RuntimeError
    assert "[bold]not markup" in screen.getvalue()
    assert progress.bar.finished or not progress.bar.live.is_started


def test_what_is_unknown_is_left_out():
    assert measures(fact(step=10, loss=float("nan"), speed=0)) == ""
    assert measures(Counting(2, 4, "merge", 0, 1.0)) == "merge"
    assert duration(3599.6) == "1 h 00 min"


def test_every_event_is_reported_in_a_line():
    assert event(HeldOut(1, 0, 1.0, 2.0)) == "held out at step 1: loss 1.000"
    assert event(EpochEnd(4, 9, 0, 1.25, 2.0, 1000, 1.0)) == "epoch 1: mean loss 1.2500 over 1,000 predictions"
    assert event(StageEnd("frozen", "made", 62.0)) == "frozen done in 1 min 02 s"
    assert event(StageEnd("frozen", "kept")) == "frozen was finished earlier" and event(StageEnd("score", "failed")) == "score failed"
    assert event(Ahead(3, 12, 0.25, 62.0)) == "in all 3 of 12 stages, 25% of the work, about 1 min 02 s left"
    assert event(Ahead(12, 12, 1.0, 0.0)) == "in all 12 of 12 stages, 100% of the work"
    assert event(Prepared(1000, 2.0, 3 << 20)) == "read 1,000 tokens in 2.0 s; 3 MiB on disk until training ends"


def test_facts_cross_to_another_process():
    for one in (
        fact(of="gpt"),
        Note("读取"),
        Prepared(1, 2.0, 3),
        Counting(2, 4, "merge", 0, 1.0),
        EpochEnd(4, 9, 0, 1.25, 2.0, 9, 1.0),
        Saved(5),
        StageEnd("score", "kept", of="gpt"),
        Ahead(3, 12, 0.25, 62.0),
    ):
        assert from_json(json.loads(json.dumps(to_json(one)))) == one


def test_a_terminal_has_one_line_for_the_whole():
    with Progress(Terminal()) as progress:
        for done in (1, 2):
            progress(fact(step=1, of="gpt"))
            progress(Ahead(done, 4, done / 4, 60.0))
        assert [(task.completed, task.total) for task in progress.bar.tasks] == [(1, 10), (2, 4)]
        assert progress.bar.tasks[1].fields["shown"] == "stages in all, 50% of the work, about 1 min 00 s left"  # after "2/4"


def test_runs_at_once_are_told_apart():
    log = StringIO()
    with Progress(log, every_seconds=1000) as progress:
        for step in (1, 2, 10):
            for name in ("gpt", "bert"):
                progress(fact(step=step, of=name))
        progress(Note("frozen", of="gpt"))
    assert [line.split(" ·")[0] for line in log.getvalue().splitlines()] == [
        *("gpt: step 1 of 10", "bert: step 1 of 10", "gpt: step 10 of 10", "bert: step 10 of 10"),
        "gpt: frozen",
    ]
    screen = Terminal()
    with Progress(screen) as progress:
        for name in ("gpt", "bert"):
            progress(fact(step=1, of=name))
        assert len(progress.bar.tasks) == 2
        progress(fact(step=10, of="gpt"))
        assert len(progress.bar.tasks) == 1


def test_a_terminal_is_not_flooded_with_the_ends_of_short_epochs():
    screen = Terminal()
    with Progress(screen, every_seconds=1000) as progress:
        for step in (1, 2, 3):
            progress(EpochEnd(step, 3, 0, 1.25, 2.0, 1000, float(step)))
    shown = screen.getvalue()
    assert "epoch 1:" in shown and "epoch 2:" not in shown and "epoch 3:" in shown

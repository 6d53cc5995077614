"""What a training loop's facts look like on stderr, on a terminal and in a log."""

from io import StringIO
from types import SimpleNamespace

import pytest

from stemma.cli.progress import Progress, duration, event, measures


def fact(kind="step", step=1, steps=10, **more):
    defaults = {"tokens": 0, "loss": 4.25, "rate": 0.0, "tokens_per_second": 12345.6, "seconds_left": 62.0, "message": "", "of": ""}
    return SimpleNamespace(kind=kind, step=step, steps=steps, **{**defaults, **more})


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


def test_notes_evaluations_and_saves_are_always_told():
    log = StringIO()
    with Progress(log, every_seconds=1000) as progress:
        progress(fact("note", message="读取 corpus.txt"))
        progress(fact("eval", step=5, loss=3.5))
        progress(fact("save", step=5))
    assert log.getvalue().splitlines() == ["读取 corpus.txt", "held out at step 5: loss 3.500", "saved at step 5"]


def test_a_terminal_gets_a_bar_that_is_put_away_even_after_an_error():
    screen = Terminal()
    with pytest.raises(RuntimeError), Progress(screen) as progress:
        for step in (1, 2, 1):  # the third begins another run
            progress(fact(step=step))
        progress(fact("note", message="[bold]not markup"))
        raise RuntimeError
    assert "[bold]not markup" in screen.getvalue()
    assert progress.bar.finished or not progress.bar.live.is_started


def test_what_is_unknown_is_left_out():
    assert measures(fact(step=10, loss=float("nan"), tokens_per_second=0)) == ""
    assert event(fact("eval", loss=1.0, message="next sentence 0.5")) == "held out at step 1: loss 1.000 (next sentence 0.5)"
    assert duration(3599.6) == "1 h 00 min"


def test_runs_at_once_are_told_apart():
    log = StringIO()
    with Progress(log, every_seconds=1000) as progress:
        for step in (1, 2, 10):
            for name in ("gpt", "bert"):
                progress(fact(step=step, of=name))
        progress(fact("note", message="frozen", of="gpt"))
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

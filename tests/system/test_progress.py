import io
import pickle
import re
import subprocess
import sys

import pytest
from rich.console import Console

from spikeduel.system.progress import SILENCE, Labelled, Relayed, TerminalProgress
from telling import Telling


def on_a_terminal():
    progress = TerminalProgress()
    progress.console = Console(file=io.StringIO(), force_terminal=True, width=100, highlight=False)
    progress._bars.live.console = progress.console
    return progress, progress.console.file


def after(*accuracies):
    return [{"val_accuracy": accuracy} for accuracy in accuracies]


def test_items_are_taken_one_by_one():
    source = iter(range(3))
    tracked = iter(TerminalProgress().track(source, "counting"))
    assert next(tracked) == 0
    assert list(source) == [1, 2]


def test_no_terminal_no_bars_but_lines(capsys):
    progress = TerminalProgress()
    list(progress.track(range(3), "counting sheep"))
    progress.say("[epoch] 1/3: 100 %")
    progress.say("x" * 300)
    assert capsys.readouterr() == (f"[epoch] 1/3: 100 %\n{'x' * 300}\n", "")


def test_names_of_files_that_are_no_text_are_said(capsys):
    TerminalProgress().say("equal images: caf\udce9/\u202e.png")
    assert capsys.readouterr().out == "equal images: caf\\udce9/\\u202e.png\n"


def test_a_terminal_shows_bars_that_vanish_and_lines_that_stay():
    progress, screen = on_a_terminal()
    for _ in progress.track(range(3), "counting sheep"):
        progress.say("a line")
    text, erase_line, show_cursor = screen.getvalue(), "\x1b[2K", "\x1b[?25h"
    assert "counting sheep" in text
    assert "0/3" in text
    assert text.count("a line") == 3
    assert text.rstrip().removesuffix(show_cursor).rstrip().endswith(erase_line)


def test_a_bar_that_was_left_early_does_not_block_the_next():
    progress, _ = on_a_terminal()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            for number in progress.track(range(3), "counting"):
                number / 0
    assert list(progress.track(range(3), "counting")) == [0, 1, 2]


def test_it_costs_nothing_to_import():
    code = "import sys, spikeduel.system.progress; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# ---- trials


def test_each_trial_that_trains_has_a_bar_and_all_have_one():
    progress, screen = on_a_terminal()

    def shown():
        plain = Console(file=io.StringIO(), width=100)
        plain.print(progress._bars.get_renderable())
        return plain.file.getvalue()

    with progress.trials(["a, seed 0", "b, seed 0"]):
        assert re.search("trials trained .* 0/2", shown())
        progress.epoch("a, seed 0", after(0.5, 0.75), 4)
        assert re.search(r"a, seed 0  ▁█ 75.0 % accuracy.* 2/4", shown())
        progress.finished("a, seed 0", "4 epochs")
        assert "a, seed 0: 4 epochs  ▁█" in screen.getvalue()
        assert re.search("trials trained .* 1/2", shown())
        assert "seed 0" not in shown()
        # One that was not announced, such as a twin.
        progress.finished("c, seed 0", "1 epoch")
        assert re.search("trials trained .* 1/2", shown())
        progress.epoch("b, seed 0", after(0.5), 4)
    assert "seed 0" not in shown()
    with progress.trials([]):
        assert "trials" not in shown()


def test_what_is_told_elsewhere_is_told_here():
    told, here = [], Telling()
    elsewhere = Relayed(lambda method, arguments: told.append((method, arguments)))
    elsewhere.say("news")
    elsewhere.detail("more")
    elsewhere.epoch("a", after(0.5), 2)
    elsewhere.finished("a", "done")
    for method, arguments in pickle.loads(pickle.dumps(told)):
        getattr(Labelled(here, "duel"), method)(*arguments)
    assert (here.messages, here.details) == (["  duel: news"], ["  duel: more"])
    assert (here.epochs, here.done) == ([("duel: a", [0.5], 2)], [("duel: a", "done")])


def test_where_there_is_no_terminal_each_trial_is_a_line(capsys):
    progress = TerminalProgress()
    with progress.trials(["a, seed 0"]):
        progress.detail("an epoch")
        progress.epoch("a, seed 0", after(0.5), 1)
        progress.finished("a, seed 0", "1 epoch in 1 s")
        progress.finished("b, seed 0", "")
    assert capsys.readouterr().out == "  a, seed 0: 1 epoch in 1 s\n"


class Clock:
    """A clock of `now` seconds."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_without_a_terminal_silence_lasts_no_longer_than_thirty_seconds(capsys):
    clock = Clock()
    progress = TerminalProgress(clock=clock)

    def after(seconds):
        clock.now += seconds
        progress.beat()
        return capsys.readouterr().out

    assert after(SILENCE - 1) == ""
    assert after(1) == "  still at work\n"
    tracked = iter(progress.track(range(4), "looking for moved copies"))
    next(tracked)
    next(tracked)
    assert after(SILENCE - 1) == ""
    assert after(1) == "  looking for moved copies: 1 of 4\n"
    progress.say("news")
    assert after(SILENCE - 1) == "news\n"


def test_without_a_terminal_a_training_is_named_once(capsys):
    clock = Clock()
    progress = TerminalProgress(clock=clock)
    with progress.trials(["a"]):
        progress.epoch("a", after(0.5, 0.75), 4)
        steps = iter(progress.track(range(80), "  a"))
        next(steps)
        clock.now += SILENCE
        progress.beat()
    assert (
        capsys.readouterr().out
        == "  trials trained: 0 of 1; a  ▁█ 75.0 % accuracy: 2 of 4 epochs\n"
    )

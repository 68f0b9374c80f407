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


def test_without_a_terminal_there_are_lines_and_no_bars(capsys):
    progress = TerminalProgress()
    list(progress.track(range(3), "counting sheep"))
    progress.say("[epoch] 1/3: 100 %")
    progress.say("x" * 300)
    progress.say("equal images: caf\udce9/\u202e.png")
    with progress.trials(["a, seed 0"]):
        progress.detail("an epoch")
        progress.epoch("a, seed 0", after(0.5), 1)
        progress.finished("a, seed 0", "1 epoch in 1 s")
        progress.finished("b, seed 0", "")
    assert capsys.readouterr().out.splitlines() == [
        "[epoch] 1/3: 100 %",
        "x" * 300,
        "equal images: caf\\udce9/\\u202e.png",
        "  a, seed 0: 1 epoch in 1 s",
    ]


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


def test_each_trial_that_trains_has_a_bar_and_all_have_one():
    progress, screen = on_a_terminal()

    def shown():
        plain = Console(file=io.StringIO(), width=100)
        plain.print(progress._bars.get_renderable())
        return plain.file.getvalue()

    with progress.trials(["a, seed 0", "b, seed 0"]):
        assert re.search("trials trained .* 0/2", shown())
        progress.epoch("a, seed 0", after(0.5, 0.75), 4)
        assert re.search(r"a, seed 0  75.0 % accuracy.* 2/4", shown())
        progress.finished("a, seed 0", "4 epochs")
        assert "a, seed 0: 4 epochs" in screen.getvalue()
        assert re.search("trials trained .* 1/2", shown())
        assert "seed 0" not in shown()
        # One that was not announced, such as a twin.
        progress.finished("c, seed 0", "1 epoch")
        assert re.search("trials trained .* 1/2", shown())
        progress.epoch("b, seed 0", after(0.5), 4)
    assert "seed 0" not in shown()
    with progress.trials([]):
        assert "trials" not in shown()


def test_events_of_another_process_are_shown_here_with_a_label():
    events, here = [], Telling()
    worker = Relayed(lambda method, arguments: events.append((method, arguments)))
    worker.say("news")
    worker.detail("more")
    worker.epoch("a", after(0.5), 2)
    worker.finished("a", "done")
    for method, arguments in pickle.loads(pickle.dumps(events)):
        getattr(Labelled(here, "duel"), method)(*arguments)
    assert (here.messages, here.details) == (["  duel: news"], ["  duel: more"])
    assert (here.epochs, here.done) == ([("duel: a", [0.5], 2)], [("duel: a", "done")])


def test_without_a_terminal_silence_lasts_no_longer_than_thirty_seconds(capsys):
    now = [0.0]
    progress = TerminalProgress(clock=lambda: now[0])

    def line_after(seconds):
        now[0] += seconds
        progress.beat()
        return capsys.readouterr().out

    assert line_after(SILENCE - 1) == ""
    assert line_after(1) == "  still at work\n"
    tracked = iter(progress.track(range(4), "looking for moved copies"))
    next(tracked)
    next(tracked)
    assert line_after(SILENCE - 1) == ""
    assert line_after(1) == "  looking for moved copies: 1 of 4\n"
    progress.say("news")
    assert line_after(SILENCE - 1) == "news\n"
    tracked.close()
    with progress.trials(["a"]):
        progress.epoch("a", after(0.5, 0.75), 4)
        # The steps of an epoch are not named beside it.
        next(iter(progress.track(range(80), "  a")))
        epochs = "a  75.0 % accuracy: 2 of 4 epochs"
        assert line_after(SILENCE) == f"  trials trained: 0 of 1; {epochs}\n"

import multiprocessing
import os
import signal
import threading
import time

import pytest

from spikeduel.system.signals import Stopped, heard, hidden_from_children


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_both_stop_a_command(number, code):
    with pytest.raises(Stopped) as stopped, heard():
        os.kill(os.getpid(), number)
        signal.pause()
    assert stopped.value.exit_code == code
    assert signal.getsignal(number) is {130: signal.default_int_handler, 143: signal.SIG_DFL}[code]


def test_a_library_that_raises_its_own_does_not_hide_which_signal_it_was():
    with pytest.raises(Stopped) as stopped, heard():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        except KeyboardInterrupt:
            raise KeyboardInterrupt from None
    assert stopped.value.exit_code == 143


def test_a_second_sigterm_says_nothing_new():
    with pytest.raises(Stopped), heard():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)


def test_what_is_started_hears_no_ctrl_c_while_it_loads():
    context = multiprocessing.get_context("spawn")
    with hidden_from_children():
        child = context.Process(target=time.sleep, args=(0.2,), daemon=True)
        child.start()
    os.kill(child.pid, signal.SIGINT)
    child.join()
    assert child.exitcode == 0
    # This process is not deaf, and hears what came in between.
    with pytest.raises(KeyboardInterrupt), hidden_from_children():
        # To this thread: another one of the tests' own would hear a signal to the process.
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

"""The engine is a library of its own: docs/scripting.md trains a network with it, and imports no
part of the duel.
"""

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "scripting.md"
DUEL = ("data", "results", "settings", "trials", "measuring", "reporting", "comparing", "cli")


def test_a_training_loop_of_ones_own_imports_the_engine_alone():
    loop = re.search(r"^# engine_alone\.py\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)[1]
    check = f"""
import sys
duel = [name for name in {DUEL} if f"spikeduel.{{name}}" in sys.modules]
first = nn.functional.cross_entropy(Net()(x), labels).item()
print([duel, loss.item() < 0.9 * first, counter.operations().totals.spikes.total > 0])
"""
    done = subprocess.run([sys.executable, "-c", loop + check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    additions, answer = done.stdout.splitlines()
    assert re.fullmatch(r"[\d,]+ additions an image", additions)
    assert answer == "[[], True, True]"

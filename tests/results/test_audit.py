import subprocess
import sys

from made_audits import CLEAN, audit_with
from spikeduel.results.audit import Audit, Finding
from spikeduel.results.words.audit import document
from spikeduel.system import typed


def test_only_problems_make_it_not_ok() -> None:
    note = Finding(kind="copies_on_one_side", is_problem=False, count=1)
    problem = Finding(kind="cut_groups", is_problem=True, count=1, share=0.1, remedy="give_groups")
    assert CLEAN.ok
    assert audit_with(conclusions=(note,)).ok
    both = audit_with(conclusions=(problem, note))
    assert not both.ok
    assert (both.problems, both.notes) == ([problem], [note])


def test_an_audit_of_an_older_version_can_be_read() -> None:
    content = document(CLEAN)
    for newer in ("conclusions", "near_portions"):
        del content[newer]
    del content["exact_duplicates"]["conflicting_files"]
    older = typed.converted(content, Audit)
    assert (older.probe, older.counts, older.conclusions) == (CLEAN.probe, CLEAN.counts, ())


def test_the_types_need_no_torch() -> None:
    code = "import sys, spikeduel.results.words.audit; print({'torch', 'matplotlib', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

import subprocess
import sys

from made_audits import CLEAN, audit_with
from made_findings import example
from spikeduel.auditing.audit_results import Audit
from spikeduel.auditing.audit_sentences import document
from spikeduel.system import typed


def test_only_problems_make_it_not_ok() -> None:
    note, problem = example("validation_copies"), example("cut_groups")
    assert CLEAN.ok
    assert audit_with(conclusions=(note,)).ok
    both = audit_with(conclusions=(problem, note))
    assert not both.ok
    assert (both.problems, both.notes) == ([problem], [note])


def test_an_audit_of_an_older_version_can_be_read() -> None:
    content = document(CLEAN)
    del content["conclusions"], content["exact_duplicates"]["conflicting_files"]
    older = typed.converted(content, Audit)
    assert (older.probe, older.counts, older.conclusions) == (CLEAN.probe, CLEAN.counts, ())


def test_the_types_need_no_torch() -> None:
    code = (
        "import sys, spikeduel.auditing.audit_sentences; print({'torch', 'matplotlib', 'scipy'} & "
        "set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

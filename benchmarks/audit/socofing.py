"""Does a random split of SOCOFing measure memory? Audits of the published split and of one by person.

    python -m benchmarks.audit.socofing --socofing PATH/TO/SOCOFING

Audits go to benchmarks/results/audit-socofing-SPLIT.json. `python -m benchmarks.tables` sets the
score of their nearest neighbour beside the networks of benchmarks/accuracy/study.py.
"""

import spikeduel as sd
from benchmarks import shared
from spikeduel.auditing.audit_sentences import document
from spikeduel.experiment.recipes import baseline
from spikeduel.system.progress import TerminalProgress

SPLITS = {"published": "socofing-published", "by-subject": "socofing"}
"""Data sets of the splits."""


def main() -> None:
    parser = shared.parser(__doc__)
    parser.add_argument("--socofing", required=True)
    options = parser.parse_args()
    for split, name in SPLITS.items():
        experiment = baseline(name, data_dir=options.socofing)
        audit = sd.audit(experiment, progress=TerminalProgress())
        shared.write(f"audit-socofing-{split}.json", document(audit))


if __name__ == "__main__":
    main()

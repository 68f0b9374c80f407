"""Deferred test scores: the test images after every epoch, sealed until all choices are made. They
show how optimistic it would be to choose the epoch by them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from spikeduel.measuring.answers import answers_of
from spikeduel.networks.models import Model
from spikeduel.results.optimism import curve
from spikeduel.results.trials import Optimism
from spikeduel.spiking.random_keys import seeded
from spikeduel.trials.store import SealedEpoch, Store, TrialRecord


@dataclass(frozen=True)
class Sealing:
    """Evaluate the `test` batches during a training of trial `key`, as they are evaluated at its
    end. Training goes on as it would without: networks and random generators get their state back.
    """

    model: Model
    test: Iterable[Any]
    store: Store
    key: str

    def covers(self, num_epochs: int) -> bool:
        """Return True if all of the first `num_epochs` epochs are sealed. Opens none."""
        return self.store.unsealed(self.key, num_epochs) is not None

    def take(self, epoch: int) -> None:
        """Seal the score of the model as it is now."""
        module = self.model.module
        state = {name: value.detach().clone() for name, value in module.state_dict().items()}
        with seeded(self.model.card.seed):
            answers = answers_of(self.model, self.test)
        module.load_state_dict(state)
        right = int((answers.truth == answers.predicted).sum())
        self.store.seal(self.key, epoch, SealedEpoch(right=right, n=len(answers.truth)))


def opened(record: TrialRecord, store: Store) -> Optimism | None:
    """Return the sealed scores of a finished trial, None where there are none. To be called after
    all choices are made.
    """
    sealed = store.unsealed(record.key, len(record.history))
    if not sealed or record.status != "done" or record.best_epoch is None:
        return None
    return curve([epoch.right for epoch in sealed], sealed[0].n, record.best_epoch)

"""The optimism meter's part in training: the test images after every epoch, sealed until all
choices are made.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from spikeduel.measuring.answers import answers_of
from spikeduel.networks.models import Model
from spikeduel.results.optimism import Optimism, curve
from spikeduel.spiking.random_keys import seeded
from spikeduel.trials.store import SealedEpoch, Store, TrialRecord


@dataclass(frozen=True)
class Sealing:
    """Evaluates the `test` batches for a training of trial `key`, as they are evaluated at its end.

    Training goes on as it would without: the network gets its state back, and generators of random
    numbers too.
    """

    model: Model
    test: Iterable[Any]
    store: Store
    key: str

    def covers(self, num_epochs: int) -> bool:
        """Whether the first `num_epochs` epochs are sealed, whole; what they say is not looked
        at.
        """
        return self.store.unsealed(self.key, num_epochs) is not None

    def take(self, epoch: int) -> None:
        """Seals how the model does now."""
        module = self.model.module
        state = {name: value.detach().clone() for name, value in module.state_dict().items()}
        with seeded(self.model.card.seed):
            answers = answers_of(self.model, self.test)
        module.load_state_dict(state)
        right = int((answers.truth == answers.predicted).sum())
        self.store.seal(self.key, epoch, SealedEpoch(right=right, n=len(answers.truth)))


def opened(record: TrialRecord, store: Store) -> Optimism | None:
    """What was sealed of a finished trial; None where it was not. Only for after all choices are
    made.
    """
    sealed = store.unsealed(record.key, len(record.history))
    if not sealed or record.status != "done" or record.best_epoch is None:
        return None
    return curve([each.right for each in sealed], sealed[0].n, record.best_epoch)

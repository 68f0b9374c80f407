"""Findings with the values that the table gives as examples."""

from spikeduel.system.finding_tables import TABLE, finding


def example(id, **values):
    """Return the finding `id` with its example's values, or these."""
    return finding(id, **{**TABLE[id].example, **values})

import pytest


@pytest.fixture
def hub_of_this_machine(tmp_path, monkeypatch):
    """Let the hub's library keep its files in `tmp_path`, and ask no network."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()

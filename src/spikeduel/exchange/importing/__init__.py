"""Networks from elsewhere as models: NIR graphs, and the study's snnTorch state_dict."""

from spikeduel.exchange.importing.opening import import_model

__all__ = ["import_model"]

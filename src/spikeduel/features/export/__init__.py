"""Models for other programs (ONNX, NIR, C), and networks from elsewhere."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "export_commands": ["commands"],
        "model_exchange": ["export", "import_model"],
    },
)
PUBLIC = ("export", "import_model")

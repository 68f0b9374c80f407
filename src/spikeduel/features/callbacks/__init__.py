"""Operations and energy per inference in the logs of Lightning and of the Hugging Face Trainer."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"callbacks": ["lightning_callback", "trainer_callback"]}
)
PUBLIC = ("lightning_callback", "trainer_callback")

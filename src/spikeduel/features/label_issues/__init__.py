"""Labels that look wrong to networks that did not train on their images."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "label_issues_conclusion": ["Conclusion"],
        "label_judging": ["conclude_outcomes"],
        "label_issues_section": ["section"],
    },
)

import ast
import re
from pathlib import Path

import spikeduel

SOURCE = Path(spikeduel.__file__).parent


def dataclasses_that_hold_arrays():
    """Yield (name, decorator) of every dataclass with a field of arrays or tensors."""
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ClassDef):
                continue
            decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
            decorator = next((text for text in decorators if text.startswith("dataclass")), None)
            types = " ".join(
                re.sub(r"Callable\[.*\]", "", ast.unparse(field.annotation))
                for field in node.body
                if isinstance(field, ast.AnnAssign)
            )
            if decorator and re.search(r"\b(ndarray|Tensor)\b", types):
                yield f"{path.name}: {node.name}", decorator


def test_no_dataclass_compares_arrays():
    # `==` and `in` of such objects raise "truth value of an array is ambiguous" on a tie.
    decorators = dict(dataclasses_that_hold_arrays())
    assert len(decorators) > 10
    assert [name for name, decorator in decorators.items() if "eq=False" not in decorator] == []

"""The device on which Triton kernels are tested: CUDA, or the CPU in Triton's interpreter where
TRITON_INTERPRET=1.
"""

import json
import os
import subprocess
import sys

import pytest
import torch

triton = pytest.importorskip("triton", reason="Triton is not installed")
tl = pytest.importorskip("triton.language")

_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
if not _INTERPRETED and not torch.cuda.is_available():
    pytest.skip("Triton kernels need CUDA, or TRITON_INTERPRET=1", allow_module_level=True)
if _INTERPRETED and tuple(int(part) for part in triton.__version__.split(".")[:2]) < (3, 7):
    pytest.skip(
        "Triton's interpreter understands today's NumPy from Triton 3.7 on", allow_module_level=True
    )

DEVICE = torch.device("cpu" if _INTERPRETED else "cuda")

_COMPILE = """
import importlib, json, sys
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

def compiled(module, kernel, types, constants, options):
    kernel = getattr(importlib.import_module(module), kernel)
    names = kernel.arg_names
    signature = {name: "constexpr" if name in constants else types[name] for name in names}
    aligned = {
        (i,): [["tt.divisibility", 16]]
        for i, (name, kind) in enumerate(signature.items())
        if kind.startswith("*") or name.startswith("num_")
    }
    source = ASTSource(kernel, signature, constants, aligned)
    kernel = triton.compile(source, target=GPUTarget("cuda", 80, 32), options=options)
    return {stage: kernel.asm[stage] for stage in ("ttgir", "ptx")}

print(json.dumps([compiled(*arguments) for arguments in json.load(sys.stdin)]))
"""


def compiled(folder, kernels):
    """The stages `ttgir` and `ptx` of each of `kernels` (module, name, types, constants, options)
    compiled for CUDA, for which no GPU is needed.

    Pointers and numbers of things are multiples of 16, for which the compiler may change more. It
    runs in a process of its own: in the interpreter's there is no compiler. The cache goes to
    `folder`.
    """
    result = subprocess.run(
        [sys.executable, "-c", _COMPILE],
        input=json.dumps(kernels),
        env={**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)

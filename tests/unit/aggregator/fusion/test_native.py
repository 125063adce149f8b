"""Machine code from a file: what is no such code is refused, and the compiler is loaded instead."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from services.aggregator.compiled import kernels as compiled
from services.aggregator.compiled import native
from services.aggregator.compiled.kernels import KERNELS, Kernels
from services.aggregator.compiled.table import ENTRIES
from services.aggregator.fusion import Fuser, Observation, Plain

PRICE = Plain(name="price", tolerance=5e-4, window_ms=10_000)


@pytest.fixture(scope="module")
def kept() -> Path:
    Fuser.warm(wait=True)
    path = compiled._kept()
    if platform.machine() != native.MACHINE:
        pytest.skip(f"machine code is placed on {native.MACHINE} only; here the compiler is loaded")
    return path


def test_a_process_that_answers_has_not_loaded_the_compiler(kept: Path) -> None:
    code = (
        "import sys; from services.aggregator.fusion import Fuser, Observation, Plain; Fuser.warm(wait=True);"
        "f = Fuser(); print(f.answer(Plain(), 'k', [Observation('a', 'a', 5.0, 0)], 0).value, 'numba' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert found.stdout.split() == ["5.0", "False"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda code: b"MZ" + code[2:], "expected an ELF64 object"),
        (lambda code: code[:18] + b"\xb7\x00" + code[20:], "expected a relocatable object for x86-64"),
        (lambda code: code.replace(b"\x00log10\x00", b"\x00lag10\x00"), "symbol 'lag10' is not known"),
    ],
)
def test_what_cannot_be_placed_is_refused(kept: Path, change: object, why: str) -> None:
    objects = msgspec.msgpack.decode(kept.read_bytes(), type=dict[str, tuple[str, bytes]])
    code = objects["answer_rows"][1]
    assert native.Code(code).functions[objects["answer_rows"][0]] > 0
    with pytest.raises(native.NativeError, match=why):
        native.Code(change(code))  # type: ignore[operator]


def test_where_code_cannot_be_placed_the_compiler_gives_the_same_answers(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = [Observation(f"p{n}", f"p{n}", 100.0 + n / 100, 1000 * n) for n in range(6)]

    def answers() -> object:
        fuser = Fuser()
        for step in range(5):
            fuser.learn(PRICE, "k", window, 10_000 * step)
        fuser.advance(60_000)
        return fuser.answer(PRICE, "k", window, 60_000), fuser.dump(), fuser.dump_key("k")

    placed = answers()
    broken = tmp_path / "kernels.bin"
    broken.write_bytes(b"not a file of ours")
    monkeypatch.setattr(compiled, "_kept", lambda: broken)
    fresh = Kernels()
    fresh.warm(wait=True)
    assert fresh.ready
    for name in ENTRIES:
        monkeypatch.setattr(KERNELS, name, getattr(fresh, name))
    assert answers() == placed


def test_what_was_kept_serves_where_nothing_may_be_written_and_another_processor_has_its_own(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "access", lambda *_: False)
    assert compiled._kept() == kept
    monkeypatch.setenv("NUMBA_CPU_NAME", "some-other")
    elsewhere = compiled._kept()
    assert elsewhere.name != kept.name
    assert elsewhere.parent != kept.parent
    monkeypatch.setattr(compiled, "access", lambda *_: True)
    assert compiled._kept() == kept.with_name(elsewhere.name)

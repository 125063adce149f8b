"""The map of the code, held by tables: who may import whom, what pure means, where providers may be named, how long a file is."""

from __future__ import annotations

import ast
import re
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("services", "schemas", "sandbox")
SERVICES = ("collector", "aggregator", "gateway", "health")


class Allowed(NamedTuple):
    """A part of the code and what it may import of ours, with the reason."""

    part: str
    imports: tuple[str, ...]
    why: str


# First match wins; `{self}` is the service's own package.
ALLOWED = (
    Allowed("schemas.*", ("schemas",), "what all agree on depends on nobody"),
    Allowed("services.common.*", ("services.common", "schemas"), "what all services share knows no service"),
    Allowed("services.cli", ("services.common.errors",), "commands are imported when they are called"),
    Allowed("services.bench", ("services.cli",), "benchmarks are commands"),
    Allowed(
        "services.*.bench*",
        ("{self}", "services.common", "schemas", "sandbox"),
        "a benchmark starts servers of its own",
    ),
    Allowed("services.*", ("{self}", "services.common", "schemas"), "services meet on topics, never in code"),
    Allowed(
        "sandbox.simulator.*",
        (
            *("sandbox", "schemas", "services.common"),
            *(
                f"services.collector.{part}"
                for part in ("registry", "map", "match", "request", "decode", "stream", "proof", "admit")
            ),
        ),
        "answers are made by walking the providers' own definitions backwards",
    ),
    Allowed("sandbox.*", ("sandbox", "schemas", "services.common"), "the runner starts services as processes"),
)

# Standard library, msgspec, numpy, schemas and other pure modules only: no I/O, clock, chance, logging or environment.
PURE = (
    "services.collector.plan",
    "services.collector.breaker",
    "services.collector.pools",
    "services.collector.backoff",
    "services.collector.classify",
    "services.collector.decode",
    "services.collector.drift*",
    "services.collector.feeds",
    "services.collector.match*",
    "services.collector.leaves",
    "services.collector.naming",
    "services.collector.proposal",
    "services.collector.shapes",
    "services.collector.vocabulary",
    "services.collector.wording",
    "services.collector.reading",
    "services.collector.template",
    "services.collector.map*",
    "services.collector.registry",
    "services.collector.registry.model",
    "services.collector.registry.mapping",
    "services.collector.registry.streams",
    "services.collector.admit",
    "services.collector.admit.buckets",
    "services.collector.admit.dialects",
    "services.collector.stream.book",
    "services.collector.stream.dialects",
    "services.collector.stream.tops",
    "services.aggregator.compiled",
    "services.aggregator.compiled.[!b]*",
    "services.aggregator.engine*",
    "services.aggregator.fusion",
    "services.aggregator.fusion.[!b]*",
    "services.aggregator.kernels*",
    "services.aggregator.signals*",
    "services.gateway.view*",
    "services.gateway.codes",
    "services.gateway.limits",
    "services.gateway.problems",
    "services.gateway.answers",
    "services.gateway.ws.protocol",
    "services.gateway.ws.hub",
    "services.gateway.ws.services",
    "services.health.scoring",
    "services.health.rules",
    "services.health.alerts",
    "services.health.facts",
    "services.health.observations",
    "schemas.compatibility",
)
IMPURE = frozenset(
    "asyncio concurrent ctypes curses fcntl ftplib getpass glob http importlib io logging mmap multiprocessing os pathlib "
    "platform pty queue random resource sched secrets select selectors shutil signal smtplib socket socketserver ssl "
    "subprocess sys tempfile threading time urllib.request uuid webbrowser".split()
)
LIBRARIES = frozenset({"msgspec", "numpy", "schemas", "services"})


class Exception_(NamedTuple):
    """Something that a rule forbids, and why it is so here; these tables may only shrink."""

    module: str
    what: str
    why: str


PURE_EXCEPTIONS = (
    Exception_(
        "services.collector.feeds",
        "defusedxml",
        "feeds come from strangers: a hardened parser of the standard interface",
    ),
    Exception_("services.collector.decode", "io", "text of CSV in memory"),
    *(
        Exception_("services.aggregator.compiled.kernels", what, why)
        for what, why in {
            "os": "compiled code needs a folder that may be written",
            "tempfile": "compiled code needs a folder that may be written",
            "pathlib": "compiled code needs a folder that may be written",
            "importlib": "the compiler's version is part of the name of what it made",
            "subprocess": "a process of its own compiles, so that this one carries no compiler",
            "sys": "that process runs the same Python",
            "logging": "says that the compiler had to be loaded after all",
            "services.aggregator.compiled.build": "the compiler itself, where its machine code cannot be placed",
            "threading": "compiled once, whoever asks first",
        }.items()
    ),
    *(
        Exception_("services.aggregator.compiled.native", what, "places compiled code in memory")
        for what in ("ctypes", "mmap", "platform")
    ),
    Exception_("services.aggregator.compiled.memory", "ctypes", "kernels read memory by its address, compiled or not"),
    *(
        Exception_("services.aggregator.engine.memory", what, "the state of entities lies outside of Python")
        for what in ("ctypes", "mmap")
    ),
    *(
        Exception_(f"services.aggregator.engine.{name}", "ctypes", "lends memory of kernels to Python by its address")
        for name in ("lessons", "render")
    ),
    *(
        Exception_(
            f"services.aggregator.compiled.{name}", what, "primitives of kernels that only the compiler can write"
        )
        for name, what in (
            ("numbers", "llvmlite"),
            ("numbers", "numba"),
            ("text", "ctypes"),
            ("text", "llvmlite"),
            ("text", "numba"),
        )
    ),
    Exception_("services.aggregator.fusion.cli", "sys", "a command reads lines and writes lines"),
    Exception_("services.aggregator.compiled.kernels", "threading", "compiled once, whoever asks first"),
)

PURE_EXCEPTIONS += tuple(
    Exception_(
        f"services.health.{name}", "services.health.tables", "its rows are read once, from a file beside the code"
    )
    for name in ("observations", "scoring")
)

# Tables and shapes of a service, which every stage may import; and the places where stages are put together.
FREE = frozenset({"registry", "settings", "metrics", "limits", "codes", "problems", "tables"})
TOGETHER = ("app", "cli", "bench*", "replay*", "remap*")

# Which stage may import which other stage of its service; all else is handed over as plain values by the app.
STAGES: dict[str, dict[str, tuple[str, str]]] = {
    "collector": {
        "decode": ("feeds", "RSS and Atom are one of the formats"),
        "classify": ("decode map", "rules look into decoded bodies by the mapping's paths"),
        "reading": (
            "decode classify map",
            "reading an answer is these three in order, for polling, commands and tests alike",
        ),
        "naming": ("leaves map", "rows are named by the tables of the mapping"),
        "shapes": ("leaves", "forms are told by what stands where"),
        "vocabulary": ("leaves", "names are words"),
        "wording": ("leaves naming vocabulary", "names of fields are words, and rows know whom they are about"),
        "proposal": (
            "leaves map naming shapes vocabulary wording",
            "a mapping is proposed of what rows hold, how they are named and whom they name",
        ),
        "judging": (
            "map proof proposal vocabulary",
            "a proposal is judged by what it gives of an answer, beside the proof",
        ),
        "newcomer": (
            "decode map match naming proofs proposal send terminal vocabulary",
            "asks, proposes, writes, and drafts the proof",
        ),
        "probing": (
            "demand line map origin request send template terminal vault",
            "one question, by the collector's own way",
        ),
        "trial": (
            "decode map match proof reading showing stream terminal",
            "a saved answer takes the way of a live one, from the address to the top of a book",
        ),
        "showing": ("terminal", "writes events for a reader"),
        "coverage": ("map", "who can name an asset is known to the mapping"),
        "proofs": ("map mutation proof terminal", "commands that judge definitions: lint, draft, mutate, schema"),
        "proof": ("decode map reading", "a payload is proved by reading it"),
        "request": ("send template", "makes what send takes"),
        "cache": ("request send", "keeps what send gives, by what was asked"),
        "publish": ("outbox vault", "records are redacted, then wait in the outbox"),
        "demand": ("listing map plan", "interests are entities, spelled as the provider spells them, for the plan"),
        "drift": ("map", "what is watched is what a mapping reads"),
        "guards": ("drift map proof", "what answers are compared with is taught by the proofs"),
        "keeping": (
            "admit classify drift line map origin publish request send",
            "what is archived and buried is told by what was asked and what came of it",
        ),
        "line": (
            "admit breaker drift guards map plan reading vault",
            "one endpoint with its bucket, breaker, schedule, mapping and secret",
        ),
        "poll": (
            "admit backoff cache classify drift keeping line map origin plan publish request send",
            "one attempt from due to published",
        ),
        "mutation": ("map proof", "breaks a mapping on purpose, and demands that its proof notices"),
        "rounds": (
            "admit demand line listing map plan poll pools",
            "what is due in a round, and who of a pool does it",
        ),
        "stream": (
            "backoff decode demand drift guards listing map origin publish request send template",
            "a socket does all that polling does",
        ),
    },
    "aggregator": {
        "engine": ("compiled fusion kernels", "a fold ends in an answer; kernels do most of both"),
        "fusion": ("compiled", "its inner loops are compiled"),
        "kernels": ("compiled fusion", "they read and write memory by address, and call what fusion compiles"),
        "driver": (
            "compiled engine kernels",
            "hands it batches, and writes what it emits, packed and unpacked by kernels",
        ),
        "signals": ("fusion", "the newsroom decides by the fusion of lists which stories are one"),
    },
    "gateway": {
        "answers": ("view", "an answer is a rendered view"),
        "api": ("answers hot openapi sse view ws", "routes read the view, and register what the hot path serves"),
        "follow": ("view", "feeds it"),
        "hot": ("answers view", "serves rendered views"),
        "openapi": ("api ws", "documents them"),
        "sse": ("answers ws", "the socket's streams for clients that only read"),
        "ws": ("view", "sends what changed in it"),
    },
    "health": {
        "alerts": ("rules", "a finding becomes an alert"),
        "facts": ("observations", "facts are drawn from observations"),
        "follow": ("observations", "feeds them"),
        "rules": ("facts", "rules are asked of facts"),
        "scoring": ("observations", "scores are drawn from observations"),
    },
}

LENGTH = 400
LONG_FILES: dict[str, tuple[int, str]] = {}
"""Path -> (lines, reason)."""

# Ids that mean something else too, so that their appearance says nothing.
ORDINARY_IDS = {
    "bullish": "a mood of the market",
    "chainlink": "an asset",
    "delta": "what a book changes by",
    "snapshot": "a whole state at one moment",
}

# Parts of benchmarks that are not called so, with the reason why they name providers.
MEASURED_WITH = {
    "services.collector.by_hand": "hand-written mappings of real answers, which the compiled ones are measured against"
}

FORBIDDEN_NAMES = frozenset({"utils", "util", "helpers", "helper", "base", "manager", "misc", "common_utils"})


@cache
def modules() -> dict[str, Path]:
    found = {}
    for top in OURS:
        for path in sorted((ROOT / top).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(modules()[name].read_text())


@cache
def imports(name: str) -> frozenset[str]:
    """Modules that a module imports, also inside functions; `from package import module` counts as the module."""
    found: set[str] = set()
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in modules() else str(node.module))
    return frozenset(found)


def under(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def is_pure(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in PURE)


@pytest.mark.parametrize("name", modules())
def test_a_module_imports_only_what_its_place_on_the_map_allows(name: str) -> None:
    row = next((row for row in ALLOWED if fnmatch(name, row.part) or fnmatch(name + ".", row.part)), None)
    if row is None:
        assert not any(under(other, top) for other in imports(name) for top in OURS)
        return
    own = ".".join(name.split(".")[:2])
    allowed = [part.replace("{self}", own) for part in row.imports]
    strangers = {other for other in imports(name) if any(under(other, top) for top in OURS)}
    assert {other for other in strangers if not any(under(other, part) for part in allowed)} == set(), row.why


@pytest.mark.parametrize("name", [name for name in modules() if is_pure(name)])
def test_a_pure_module_reaches_no_clock_no_chance_and_no_world(name: str) -> None:
    excused = {row.what for row in PURE_EXCEPTIONS if row.module == name}
    found = set()
    for other in imports(name):
        top = other.split(".")[0]
        ours = top in OURS
        if ours and not other.startswith("schemas") and other != "services.common.errors" and not is_pure(other):
            found.add(other)
        elif other in IMPURE or top in IMPURE or (not ours and top not in LIBRARIES and not _is_standard(top)):
            found.add(top if top in IMPURE or not _is_standard(top) else other)
    assert found - excused == set()


@pytest.mark.parametrize("name", [name for name in modules() if is_pure(name)])
def test_a_pure_module_calls_neither_now_nor_open_nor_print(name: str) -> None:
    called = {_called(node) for node in ast.walk(tree(name)) if isinstance(node, ast.Call)}
    assert called & {"open", "print", "input", "now", "utcnow", "today", "getenv", "monotonic", "perf_counter"} == set()


def test_every_pattern_of_pure_modules_and_every_exception_still_means_something() -> None:
    assert [pattern for pattern in PURE if not any(fnmatch(name, pattern) for name in modules())] == []
    unused = [
        row
        for row in PURE_EXCEPTIONS
        if row.module not in modules() or not any(under(other, row.what) for other in imports(row.module))
    ]
    assert unused == []


def stage(name: str) -> str:
    return name.split(".")[2]


def stage_imports(service: str) -> dict[str, set[str]]:
    """Stage -> other stages of the service that it imports, without what is free for all."""
    found: dict[str, set[str]] = {}
    for name in modules():
        if under(name, f"services.{service}") and name.count(".") >= 2:
            inside = {
                stage(other) for other in imports(name) if under(other, f"services.{service}") and other.count(".") >= 2
            }
            found.setdefault(stage(name), set()).update(inside - {stage(name)} - FREE)
    return {
        name: others
        for name, others in found.items()
        if name not in FREE and not any(fnmatch(name, pattern) for pattern in TOGETHER)
    }


@pytest.mark.parametrize("service", SERVICES)
def test_a_stage_imports_no_other_stage_but_those_of_the_table(service: str) -> None:
    allowed = {name: set(others.split()) for name, (others, _) in STAGES[service].items()}
    found = {name: others for name, others in stage_imports(service).items() if others}
    assert found == allowed, "an import that is gone leaves the table too"


@pytest.mark.parametrize("service", SERVICES)
def test_nothing_imports_the_app(service: str) -> None:
    app = f"services.{service}.app"
    importers = [name for name in modules() if app in imports(name)]
    assert [name for name in importers if not any(fnmatch(name.split(".")[-1], pattern) for pattern in TOGETHER)] == []


def provider_ids() -> frozenset[str]:
    folders = (ROOT / "services" / "collector" / "providers").glob("*/*/provider.yaml")
    return frozenset(path.parent.name for path in folders) - set(ORDINARY_IDS)


def engine_modules() -> list[str]:
    """Code of the services, without benchmarks: those measure with the answers of real providers."""
    return [
        name
        for name in modules()
        if any(under(name, f"services.{service}") for service in SERVICES)
        and name not in MEASURED_WITH
        and not any(part.startswith("bench") for part in name.split("."))
    ]


def test_there_are_providers_to_look_for() -> None:
    assert len(provider_ids()) >= 14


@pytest.mark.parametrize("name", engine_modules())
def test_engine_code_names_no_provider(name: str) -> None:
    """A provider is data: what only one of them needs is a field of its definition, never a branch."""
    ids = provider_ids()
    found = []
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.strip().lower() in ids:
            found.append(node.value)
        elif isinstance(node, ast.Name | ast.FunctionDef | ast.ClassDef):
            word = node.id if isinstance(node, ast.Name) else node.name
            found += [word] if word.lower() in ids else []
    assert found == []


@pytest.mark.parametrize("name", modules())
def test_a_file_is_short_enough_to_enter(name: str) -> None:
    path = modules()[name]
    lines = len(path.read_text().splitlines())
    most, _ = LONG_FILES.get(str(path.relative_to(ROOT)), (LENGTH, ""))
    assert lines <= most


def test_no_file_is_excused_that_became_short() -> None:
    lengths = {path: len((ROOT / path).read_text().splitlines()) for path in LONG_FILES}
    assert {path: lines for path, lines in lengths.items() if lines <= LENGTH} == {}


@pytest.mark.parametrize("name", modules())
def test_a_module_is_a_noun(name: str) -> None:
    assert set(name.split(".")) & FORBIDDEN_NAMES == set()


@pytest.mark.parametrize("name", [name for name, path in modules().items() if path.name == "__init__.py"])
def test_a_package_runs_nothing_when_it_is_imported(name: str) -> None:
    """A docstring, imports and public names; whoever imports a part does not pay for the whole."""
    for node in tree(name).body:
        documented = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        named = isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]
        assert documented or named or isinstance(node, ast.Import | ast.ImportFrom), ast.unparse(node)[:80]


@pytest.mark.parametrize("name", modules())
def test_a_module_says_what_it_is(name: str) -> None:
    assert ast.get_docstring(tree(name))


def test_debt_is_visible_or_absent() -> None:
    marks = re.compile(r"\b(TODO|FIXME|HACK)\b")
    paths = [path for top in (*OURS, "tests", "scripts") for path in (ROOT / top).rglob("*.py")]
    found = [str(path.relative_to(ROOT)) for path in paths if path != Path(__file__) and marks.search(path.read_text())]
    assert found == []


def _called(call: ast.Call) -> str:
    return (
        call.func.attr
        if isinstance(call.func, ast.Attribute)
        else call.func.id
        if isinstance(call.func, ast.Name)
        else ""
    )


def _is_standard(top: str) -> bool:
    import sys

    return top in sys.stdlib_module_names

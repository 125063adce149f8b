"""The command line `parallax`: rows of (name, where its function lives, sentence); a command is imported when called."""

from __future__ import annotations

import sys
from typing import NamedTuple

EXIT_DONE, EXIT_FAILED, EXIT_WRONG_CALL = 0, 1, 2


class Command(NamedTuple):
    """One command; `target` is module:function, the function takes the remaining arguments and returns the exit code."""

    name: str
    target: str
    sentence: str


COMMANDS: tuple[Command, ...] = (
    Command("up", "sandbox.runner:main", "Start everything on this machine; ready when it prints the address."),
    Command("doctor", "sandbox.doctor:main", "Say what is missing on this machine and how to get it."),
    Command(
        "collector", "services.collector.app:main", "Run one collector: providers to raw topics (--category C[,C])."
    ),
    Command(
        "aggregator",
        "services.aggregator.app:main",
        "Run one aggregator: raw topics to fused records and candles.",
    ),
    Command(
        "signals", "services.aggregator.cli:signals", "Run the signals agent: fused records and trades to signals."
    ),
    Command("gateway", "services.gateway.app:main", "Run the gateway: fused records to REST, WebSocket, SSE and web."),
    Command("health", "services.health.app:main", "Run the health service: scores, rules, alerts."),
    Command("simulator", "sandbox.simulator.cli:main", "Run the offline provider simulator."),
    Command("topics", "services.common.provision:main", "Create, list or compare topics: apply, list, diff."),
    Command(
        "providers",
        "services.collector.cli:main",
        "The registry: list, show, coverage, lint, try, match, new, probe ...",
    ),
    Command(
        "replay",
        "services.collector.replay:main",
        "Send recordings of a folder through the same mapping into raw topics.",
    ),
    Command(
        "remap",
        "services.collector.remap:main",
        "Map archived bodies again, and show what today's or another mapping changes.",
    ),
    Command("fuse", "services.aggregator.fusion.cli:main", "Fuse observations from standard input."),
    Command("bench", "services.bench:main", "Side-by-side benchmarks; alone it lists them."),
)


def main(argv: list[str] | None = None) -> int:
    """Run `parallax <command> ...`; 0 done, 1 failed, 2 wrong call."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return EXIT_DONE if arguments else EXIT_WRONG_CALL
    if arguments[0] in ("-V", "--version"):
        from importlib.metadata import version

        print(version("parallax"))
        return EXIT_DONE
    command = next((row for row in COMMANDS if row.name == arguments[0]), None)
    if command is None:
        sys.stderr.write(unknown("parallax", arguments[0], [row.name for row in COMMANDS]))
        return EXIT_WRONG_CALL
    return dispatch(command, arguments[1:])


def dispatch(command: Command, arguments: list[str]) -> int:
    """Import the command's module and call it; faults end as one line on stderr, without a traceback."""
    from importlib import import_module

    from services.common.errors import ParallaxError, SettingsError

    module, function = command.target.split(":")
    try:
        code: int = getattr(import_module(module), function)(arguments)
        return code
    except SettingsError as fault:
        sys.stderr.write(f"{fault}\n")
        return EXIT_WRONG_CALL
    except ParallaxError as fault:
        sys.stderr.write(f"{fault}\n")
        return EXIT_FAILED
    except BrokenPipeError:
        # The reader of our output went away (`| head`): that is not a fault of ours.
        sys.stderr.close()
        return EXIT_DONE
    except KeyboardInterrupt:
        return EXIT_FAILED


def unknown(caller: str, word: str, names: list[str]) -> str:
    """The line for a command that does not exist, with the nearest name that does."""
    from difflib import get_close_matches

    near = get_close_matches(word, names, n=1, cutoff=0.5)
    hint = f"did you mean: {caller} {near[0]}" if near else f"see: {caller} --help"
    return f"{caller}: no command {word!r}; {hint}\n"


def usage() -> str:
    """The list of commands, from the rows."""
    width = max(len(row.name) for row in COMMANDS)
    lines = [f"  {row.name:<{width}}  {row.sentence}" for row in COMMANDS]
    return "\n".join(
        (
            "parallax: what is true about every coin, how sure it is, and who disagreed.",
            "",
            "Usage: parallax COMMAND [OPTIONS]; parallax COMMAND --help shows the options.",
            "",
            *lines,
            "",
            "Every listing takes --json. Data goes to stdout, talk to stderr. Exit: 0 done, 1 failed, 2 wrong call.",
        )
    )


if __name__ == "__main__":
    sys.exit(main())

"""The entry point: finds the verb, runs it, and turns every ending into its exit code.

Nothing heavy is imported before the verb is known, so that `stemma --help` starts in a blink.
"""

import contextlib
import gc
import importlib
import os
import re
import signal
import sys
import warnings
from collections.abc import Sequence
from io import BytesIO, TextIOWrapper
from types import FrameType
from typing import Any, NoReturn, get_args, get_type_hints

from stemma.cli.standard_streams import closed_streams_open, print_out, to_nowhere
from stemma.config import VERSION, nearest
from stemma.errors import BudgetError, Interrupted, RunError, StemmaError, UsageError
from stemma.layers.waiting import let_threads_sleep
from stemma.runs.json_text import dumps
from stemma.tokens.files import is_disk_full

VERBS: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (  # group -> (verb, its file:its class, what it does)
    (
        "look",
        (
            ("lineage", "lineage:Lineage", "the family tree: year, paper, abilities, presets; of one generation its page"),
            ("settings", "settings:Settings", "what --set may set, for a generation or for fine-tuning"),
            ("info", "info:Info", "what a run or a comparison is, how good, how big"),
            ("docs", "docs:Docs", "where the documentation stands on this machine, or opens it"),
            ("completion", "completion:Completion", "your shell completes verbs, options and generations"),
            ("corpus check", "corpus_check:CorpusCheck", "what a corpus is, what would be rejected, and the cure"),
            ("corpus docstrings", "corpus_docstrings:CorpusDocstrings", "writes the embedded default: docstrings of installed packages"),
            ("show tokens", "show_tokens:ShowTokens", "how a run cuts a text"),
            ("show masks", "show_masks:ShowMasks", "what a masked language model reads of a text, and what it must predict"),
        ),
    ),
    (
        "learn",
        (
            ("pretrain", "pretrain:Pretrain", "a corpus into a run folder; again: goes on"),
            ("distill", "distill:Distill", "a small run that imitates another, on plain text or on a task"),
            ("finetune", "finetune:Finetune", "a run carried over to a task, frozen or fine-tuned"),
        ),
    ),
    (
        "measure",
        (
            ("compare", "compare:Compare", "the main job: generations side by side on one text and one task"),
            ("demo", "demo:Demo", "compare, on text that is always there"),
            ("evaluate", "evaluate:Evaluate", "the measures that fit a run, on your files"),
            ("bench", "bench:Bench", "how fast each engine computes a run on this machine"),
        ),
    ),
    (
        "use (text lines in; text out on a terminal, JSON lines into a pipe or file)",
        (
            ("predict", "predict:Predict", "the label of each text"),
            ("embed", "embed:Embed", "one vector a text"),
            ("nearest", "nearest:Nearest", "the nearest words of a word"),
            ("score", "score:Score", "nats, perplexity, bits per character"),
            ("generate", "generate:Generate", "text from a prompt"),
            ("translate", "translate:Translate", "the target text of each source"),
            ("fill", "fill:Fill", "the likeliest tokens of each [MASK]"),
            ("attend", "attend:Attend", "where each head looks: weights, the six steps, a picture"),
            ("serve", "serve:Serve", "all of this over HTTP, for any number of runs"),
            ("convert", "convert:Convert", "a run as ARPA, word vectors, ONNX, a Hugging Face or CTranslate2 folder; their files as runs"),
            ("pack", "pack:Pack", "runs in one file, for a machine without network"),
            ("unpack", "unpack:Unpack", "the runs of such a file, every sum compared"),
        ),
    ),
)
RARELY = (50_000, 20, 20)  # objects between two searches for garbage: importing PyTorch makes a million that stay, a tenth of a short run
TABLE = {name: (place, summary) for _, verbs in VERBS for name, place, summary in verbs}


def entry() -> NoReturn:
    """The console script: runs the verb and leaves with its exit code."""
    signal.signal(signal.SIGTERM, _terminated)
    closed_streams_open()
    gc.set_threshold(*RARELY)
    let_threads_sleep()
    code = main(sys.argv[1:])
    if "granian" in sys.modules:  # Python's own end aborts the process where a thread of the server's still lets go of its objects
        _leave_at_once(code)
    sys.exit(code)


def main(argv: Sequence[str]) -> int:
    """Runs one command line and gives back its exit code; prints, raises nothing."""
    as_json, debug = "--json" in argv, "--debug" in argv
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    warnings.showwarning = _warn
    try:
        if sys.stdout is None:
            raise StemmaError("standard output is closed", "a place to write to", "open it, or redirect it to /dev/null")
        verb = parsed(list(argv))
        if verb is None:
            return 0
        if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not verb.several_processes:
            raise UsageError("this verb in several processes (torchrun)", "pretrain, or one process", "run it without torchrun")
        answer = verb.run()
        for piece in answer.pieces("document" if verb.json else "person" if sys.stdout.isatty() else "lines"):
            print_out(piece)
        return answer.exit_code
    except BrokenPipeError:  # the reader has seen enough, as in `stemma predict … | head`
        to_nowhere(1)
        return 0
    except BaseException as error:
        failure = _failure(error)
        if debug or failure is None:
            import traceback

            traceback.print_exc()
        if failure is None:
            expected = "this should not happen: it is Stemma's mistake, not yours"
            failure = RunError(f"{type(error).__name__}: {error}", expected, "please report it with the lines above")
        return _failed(failure, as_json)


def parsed(argv: list[str]) -> Any:
    """The verb with its options; None where help or the version was asked for and printed."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(overview(), end="")
    elif argv[0] in ("-V", "--version"):
        print(dumps({"version": VERSION}) if "--json" in argv else f"stemma {VERSION}")
    else:
        name, rest = find_verb(argv)
        module, _, cls = TABLE[name][0].partition(":")
        return parse(getattr(importlib.import_module(f"stemma.cli.{module}"), cls), name, rest)
    print_out("")
    return None


def _leave_at_once(code: int) -> NoReturn:
    """Ends the process with what was printed out of its buffers, and without the interpreter's own ending."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # a reader that has left, a closed stream
            stream.flush()
    os._exit(code)


def overview() -> str:
    """The help of `stemma` itself."""
    lines = ["usage: stemma VERB …          stemma VERB --help shows its options and an example", ""]
    lines += ["The family tree of pre-trained language representations, alive: one corpus, one command a stage.", ""]
    for group, verbs in VERBS:
        lines += [group, *(f"  {name:<18} {summary}" for name, _, summary in verbs), ""]
    lines += ["Every verb takes --json (one JSON document on stdout) and --debug (tracebacks)."]
    lines += ["Exit codes: 0 done, 1 failed, 2 usage, 3 bad input data, 4 out of disk or memory, 5 interrupted (run it again to go on)."]
    return "\n".join(lines) + "\n"


def find_verb(argv: Sequence[str]) -> tuple[str, list[str]]:
    """The verb that the command line starts with (one word or two), and what follows it."""
    for words in (2, 1):
        name = " ".join(argv[:words])
        if name in TABLE:
            return name, list(argv[words:])
    first, pair = argv[0], " ".join(argv[:2])
    seconds = [name for name in TABLE if name.startswith(first + " ")]
    if seconds:
        said = f"stemma {first} {argv[1]}" if argv[1:] else f"stemma {first}"
        meant = nearest(pair, seconds) if argv[1:] else f"for example stemma {seconds[0]}"
        raise UsageError(f"{said}: no such verb", f"one of {', '.join(seconds)}", meant)
    raise UsageError(f"there is no verb {first!r}", "one of those that stemma --help lists", nearest(first, TABLE))


def parse(cls: Any, name: str, argv: list[str]) -> Any:
    """The verb's options read from `argv`; None when only help was asked for."""
    import tyro

    if "-h" in argv or "--help" in argv:
        with contextlib.suppress(SystemExit):
            tyro.cli(cls, args=["--help"], prog=f"stemma {name}")
        return None
    printed = TextIOWrapper(BytesIO(), encoding="utf-8")  # tyro draws the frame that is taken off below for UTF-8 alone
    try:
        with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(printed):
            verb, unknown = tyro.cli(cls, args=argv, prog=f"stemma {name}", return_unknown_args=True)
    except SystemExit:
        raise UsageError(_unboxed(_captured(printed)), f"what stemma {name} --help shows", "see the example there") from None
    if unknown:
        raise _unknown(name, cls, unknown, argv)
    return verb


def option_name(field: str) -> str:
    """How a verb's field is spelled on the command line."""
    return "--" + {"settings": "set", "student": "from"}.get(field, field.replace("_", "-"))


def options(cls: type) -> list[str]:
    """A verb's options, in the order of the alphabet; what stands without a name is none."""
    from dataclasses import fields

    from stemma.cli.verb import Positional

    marks = set(get_args(Positional[str])[1:])
    hints = get_type_hints(cls, include_extras=True)
    names = [field.name for field in fields(cls)]
    return sorted(option_name(name) for name in names if not marks & set(getattr(hints[name], "__metadata__", ())))


def _unknown(name: str, cls: Any, words: list[str], argv: list[str]) -> UsageError:
    word = words[0]
    if not word.startswith("-"):
        return UsageError(f"stemma {name}: {word!r} is one word too many", f"what stemma {name} --help shows", "quote a text with spaces")
    option, _, value = word.partition("=")
    value = value or next((given for given in words[1:2] if not given.startswith("-")), "")
    as_settings = _settings_called(name, option.strip("-").replace("-", "_"), argv)
    if as_settings:
        meant = " or ".join(f"--set {setting}={value or '…'}" for setting in as_settings)
        return UsageError(f"stemma {name} has no option {option}: it is a setting", "a setting behind --set", f"write {meant}")
    return UsageError(f"stemma {name} has no option {option}", "one of its options", nearest(option, options(cls)))


def _settings_called(name: str, key: str, argv: Sequence[str]) -> list[str]:
    """The settings with this key that the verb takes, as section.key; of pretrain those of the generation named."""
    from dataclasses import fields

    from stemma.lineage.table import TABLE as LINEAGE

    sections: dict[str, type] = {}
    if name == "corpus check":
        from stemma.corpus.formats import Config as Corpus

        sections |= {"corpus": Corpus}
    if name in ("pretrain", "compare", "distill"):
        from stemma.training.request import section_types

        for row in LINEAGE:
            if row.ready and (row.name in argv or name == "compare" or (name == "distill" and row.teacher)):
                sections |= section_types(row)
    if name in ("finetune", "compare", "distill"):
        from stemma.transfer.settings import Config, Distilling

        sections |= {"transfer": Config} | ({"distill": Distilling} if name == "distill" else {})
    return [f"{section}.{key}" for section, cls in sections.items() if key in {field.name for field in fields(cls)}]


def _captured(printed: TextIOWrapper) -> str:
    printed.seek(0)
    return printed.read()


def _unboxed(text: str) -> str:
    """The first paragraph of tyro's boxed message as one line, without its frame."""
    inside = [line.strip("│ \n") for line in text.splitlines() if line.startswith("│")]
    message = [line for line in inside if line]
    rule = next((n for n, line in enumerate(message) if set(line) == {"─"}), len(message))
    return re.sub(r"\s+", " ", " ".join(message[:rule])) or "the command line could not be read"


def _failure(error: BaseException) -> StemmaError | None:
    """The error in three parts; None when it is a mistake of our own."""
    if isinstance(error, StemmaError):
        return error
    if isinstance(error, ModuleNotFoundError) and not (error.name or "stemma").startswith("stemma"):
        return StemmaError(f"{error.name} is not installed", "all that Stemma depends on", "install them: pip install stemma-nlp")
    if isinstance(error, KeyboardInterrupt):
        return _interrupted()
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "allocate memory" in str(error)):  # torch's own
        return BudgetError("out of memory", "enough memory for this size", "choose a smaller preset or batch")
    if isinstance(error, OSError) and is_disk_full(error):
        wrong = f"{error.filename or 'the disk'}: {error.strerror}"
        return BudgetError(wrong, "room on the disk", "free some, then run the same command again")
    if isinstance(error, OSError) and error.filename is not None:
        return StemmaError(f"{error.filename}: {error.strerror}", "a path that Stemma may use", "check the path and its rights")
    if isinstance(error, OSError) and error.errno is not None:
        return StemmaError(f"a file or a stream: {error.strerror}", "files that can be read and written", "check the disk")
    return None


def _interrupted() -> Interrupted:
    return Interrupted("interrupted", "to come to its end", "repeat the same command: what it had saved, if anything, it finds again")


def _failed(error: StemmaError, as_json: bool) -> int:
    if isinstance(error, UsageError) and os.environ.get("RANK", "0") != "0":
        return error.exit_code  # every process of torchrun has it: the first one prints it
    print(f"error: {error.wrong}\n  expected: {error.expected}\n  to mend it: {error.mend}", file=sys.stderr)
    if as_json:
        parts = {"wrong": error.wrong, "expected": error.expected, "mend": error.mend}
        with contextlib.suppress(OSError):
            print(dumps({"error": parts, "exit_code": error.exit_code}, indent=2), flush=True)
    return error.exit_code


def _warn(message: Any, category: type[Warning], *_: Any, **__: Any) -> None:
    print(f"warning: {message}", file=sys.stderr)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    """Interrupts, once: a second SIGTERM must not break what the first one has begun to save."""
    signal.signal(number, signal.SIG_IGN)
    if _loads_torch(frame):  # which aborts the process where an exception comes into its libraries as they load
        _leave_at_once(_failed(_interrupted(), "--json" in sys.argv))
    raise KeyboardInterrupt


def _loads_torch(frame: FrameType | None) -> bool:
    """True within an import of PyTorch."""
    while frame is not None:
        if frame.f_code.co_name == "<module>" and str(frame.f_globals.get("__name__")).partition(".")[0] == "torch":
            return True
        frame = frame.f_back
    return False

"""`bellwire trace`: a run's trace in the terminal, or as a drawing; and the trace of a run that did not write one."""

import argparse
import sys
from pathlib import Path

from testbed.cli.terminal import Commands, opening, say, span_ps
from testbed.errors import BadInput, listed, nearest, shown

TRACE = """Show what happened in a run: a line per frame (when, between whom, how long it took, what it said) and per
event, and behind each in brackets the ebits and pairs that it is about.

  bellwire trace out/two-qpus --pair 1/2                 one pair, from its train to the gate that used it
  bellwire trace out/two-qpus --pair 1/2 --ladder        the same as a chart, a column per node
  bellwire trace out/two-qpus --pair 1/2 --svg pair.svg  the same as a drawing
  bellwire trace out/two-qpus --node west --protocol MHP --from 1ms --to 2ms

An ebit, a pair on one link, is called LINK:SEQUENCE; a pair between two ends is called HEAD/PAIR_ID.
For a run that was cut short, or that still runs, its trace is written first.
"""


def add(commands: Commands) -> None:
    """Declare `trace`."""
    trace = commands.add_parser(
        "trace",
        help="show the trace of a run: filter it, follow a pair, draw it",
        usage="%(prog)s DIR|FILE [options]",
        description=TRACE,
    )
    trace.set_defaults(do=_trace)
    trace.add_argument("path", metavar="DIR|FILE", type=Path, help="a run's output folder, or a trace.pcapng")
    which = trace.add_argument_group("what is shown (each may be given several times)")
    which.add_argument("--node", metavar="NAME", action="append", default=[], help="from, to or at this node")
    which.add_argument("--protocol", metavar="NAME", action="append", default=[], help="MHP, EGP, ...; or a layer")
    which.add_argument("--kind", metavar="NAME", action="append", default=[], help="a message (Track) or an event (ok)")
    only = trace.add_argument_group("what else narrows it down")
    only.add_argument("--pair", metavar="NAME", default="", help="follow an ebit (1:0) or a pair (1/2)")
    only.add_argument("--from", metavar="T", dest="start", help="from this time on: 3ms, 2.5us, ...")
    only.add_argument("--to", metavar="T", dest="end", help="up to this time")
    only.add_argument("--no-events", action="store_true", help="frames only")
    only.add_argument("--no-frames", action="store_true", help="events only")
    only.add_argument("--acks", action="store_true", help="bare acknowledgements, too")
    only.add_argument("--limit", metavar="N", type=int, help="no more than N lines")
    how = trace.add_argument_group("how it is shown")
    how.add_argument("--ladder", action="store_true", help="a column per node; --node NAME ... decides their order")
    how.add_argument("--svg", metavar="FILE", type=Path, help="draw it there instead")


def _trace(args: argparse.Namespace) -> int:
    from testbed.palette import standalone
    from testbed.trace import ladder, listing, story, words

    folder: Path = args.path
    file = folder
    if folder.is_dir():
        file = folder / "trace.pcapng"
        if any((folder / ".spool").glob("*.spool")):
            from testbed.lab.rescue import merge_now

            merged = merge_now(folder)
            what = f"trace: {merged.frames} frames, {merged.events} events; open it with"
            print("\n".join([what, *opening(file)]), file=sys.stderr)  # what is asked for goes to standard output
    choice = story.Choice(
        nodes=args.node,
        protocols=args.protocol,
        kinds=args.kind,
        start_ps=span_ps("--from", args.start) or 0,
        end_ps=span_ps("--to", args.end),
        pair=args.pair,
        frames=not args.no_frames,
        events=not args.no_events,
        acknowledgements=args.acks,
    )
    if args.limit is not None and args.limit < 1:
        raise BadInput("command line", "--limit", f"{args.limit} is not positive", "give 1 or more")
    whole = story.read_story(file, file.with_name("events.jsonl") if file.name == "trace.pcapng" else None)
    for name in args.node:
        if name not in whole.nodes:
            raise BadInput(file, "--node", f"no frame or event is of {name}", f"name one of {', '.join(whole.nodes)}")
    if choice.end_ps is not None and choice.end_ps < choice.start_ps:
        raise BadInput("command line", "--to", f"{args.end} is before --from {args.start}", "give a later time")
    _check_words(file, "--protocol", args.protocol, whole.spoken, "protocol or layer", words.SPOKEN)
    _check_words(file, "--kind", args.kind, whole.kinds, "message or event", words.KINDS)
    part = whole.chosen(choice)
    if args.pair and not part.steps and args.pair not in whole.pair_names:
        raise BadInput(file, "--pair", f"nothing is about {args.pair}", _pairs_remedy(whole.pair_names))
    if args.pair:
        part = part.along()
    if args.node:
        rest = [name for name in part.nodes if name not in args.node]
        part = part._replace(nodes=(*[name for name in args.node if name in part.nodes], *rest))
    left = len(part.steps) - args.limit if args.limit is not None else 0
    if left > 0:
        part = part._replace(steps=part.steps[: args.limit])
    if args.svg is not None:
        title = f"{args.path}: {args.pair}" if args.pair else str(args.path)
        try:
            drawing = ladder.chart(part, part.nodes, title, every_event=True)
            args.svg.write_text(standalone(drawing), encoding="utf-8")
        except OSError as error:
            raise BadInput(args.svg, "--svg", error.strerror or str(error), "name another file") from None
        say([f"{len(part.steps)} steps drawn in {args.svg}"], 2)
        return 0
    shown = list(listing.ladder_lines(part) if args.ladder else listing.lines(part))
    if left > 0:
        shown.append(f"... and {left} more; --limit is {args.limit}")
    say(shown or ["nothing of that kind"], 2)
    return 0


def _check_words(
    file: Path, option: str, asked: list[str], here: tuple[str, ...], what: str, known: frozenset[str]
) -> None:
    """What is in no trace at all is a slip; what is merely not in this one is an answer."""
    there = {word.casefold() for word in (*here, *known)}
    for word in asked:
        if word.casefold() not in there:
            close = nearest(word, [*here, *sorted(known)])
            hint = f"did you mean {close}? " if close else ""
            remedy = f"{hint}this trace has {listed(list(here), 40)}"
            raise BadInput(file, option, f"there is no {what} {shown(word)}", remedy)


def _pairs_remedy(names: tuple[str, ...]) -> str:
    if not names:
        return "there is no pair in this trace"
    some = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
    return f"name an ebit LINK:SEQUENCE or a pair HEAD/PAIR_ID, such as {some}"

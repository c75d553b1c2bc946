"""`caffdet download-weights`: released files by name, into the cache."""

import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caffdet_cli.commands import options
from caffdet_cli.commands.console import echo, print_json, table, wants_rich
from caffdet_cli.errors import CaffdetError, ConfigError, DiskFull, RunError, WeightsError

if TYPE_CHECKING:
    from caffdet_cli.released.fetch import Ways
    from caffdet_cli.released.meter import Meter
    from caffdet_cli.released.registry import Entry
    from caffdet_cli.released.verified import Fetched

_BETWEEN = 4  # columns of a terminal that a table takes beside each of its own
_READABLE = 20


def command(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="As --list shows them.", show_default=False)
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every released file.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="What there is; nothing is fetched.")] = False,
    offline: options.Offline = False,
    overwrite: options.Overwrite = False,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Fetch released weights, backbones and annotations by name.

    Files are checked and lie in the cache ($CAFFDET_CACHE); --weights NAME finds them there in every command. What
    broke off goes on where it was. $CAFFDET_MIRROR names an address that is tried first; proxies come from https_proxy.
    """
    from caffdet_cli.commands.transfer import make_meter
    from caffdet_cli.released.fetch import ways
    from caffdet_cli.released.registry import chosen, registry

    if names and all_:
        raise ConfigError(f"--all and {names[0]} contradict each other; give names or --all")
    if not names and not all_ and not list_:
        raise _nothing_said(registry().values())
    entries = chosen(names) if names else list(registry().values())
    how = ways()
    if list_:
        _show_list(entries, json)
    elif dry_run:
        _show_plan(entries, how, overwrite, make_meter(quiet, verbose), json, everything=all_)
    else:
        _fetch_all(entries, how, overwrite, make_meter(quiet, verbose), json, everything=all_)


def _nothing_said(entries: "Iterable[Entry]") -> ConfigError:
    lines = [f"  {entry.name + ':':<31} {entry.about}" for entry in entries]
    example = "  for example:                    caffdet download-weights lite-dino-r50-coco"
    return ConfigError("\n".join(["NAME is missing", *lines, example]))


def _show_list(entries: "Sequence[Entry]", json: bool) -> None:
    from caffdet_cli.released.fetch import place_of

    if json:
        files = [
            {**entry.facts(), "path": str(place_of(entry)), "at_hand": place_of(entry).is_file()} for entry in entries
        ]
        print_json({"schema": 1, "files": files})
        return
    rows: list[tuple[str, ...]] = []
    for entry in entries:
        at_hand = "yes" if place_of(entry).is_file() else "by hand" if entry.page else "no"
        ap = f"{100 * entry.published['AP']:.1f}" if "AP" in entry.published else "-"
        rows.append((entry.name, entry.kind, at_hand, ap, entry.about))
    columns: Sequence[str] = ("name", "kind", "at hand", "AP", "about")
    if wants_rich(sys.stdout):
        columns, *rows = _fitted([tuple(columns), *rows], shutil.get_terminal_size().columns)
    table("", columns, rows)


def _fitted(rows: list[tuple[str, ...]], width: int) -> list[tuple[str, ...]]:
    """Rows that a terminal shows without folding: names are to be copied, so kinds go, and the last column is cut."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = width - sum(widths[:-1]) - _BETWEEN * len(widths)
    if left < _READABLE and "kind" in rows[0]:
        return _fitted([(row[0], *row[2:]) for row in rows], width)
    return [(*row[:-1], row[-1] if len(row[-1]) <= left else f"{row[-1][: max(left - 3, 2)]}...") for row in rows]


def _show_plan(
    entries: "Sequence[Entry]", ways: "Ways", overwrite: bool, meter: "Meter", json: bool, *, everything: bool
) -> None:
    from caffdet_cli.released.addresses import shown
    from caffdet_cli.released.fetch import place_of, size_of, sources_of
    from caffdet_cli.released.meter import megabytes

    files: list[dict[str, Any]] = []
    for entry in entries:
        place, sources = place_of(entry), sources_of(entry, ways)
        there = place.is_file() and not overwrite
        state = "at hand" if there else "by hand" if not sources else "missing" if ways.offline else "to fetch"
        size = place.stat().st_size if there else size_of(entry, ways, meter)
        address = shown(sources[0]) if sources else entry.page
        files.append({"name": entry.name, "state": state, "size": size, "from": address, "path": str(place)})
    total = sum(file["size"] or 0 for file in files if file["state"] == "to fetch")
    if json:
        print_json({"schema": 1, "dry_run": True, "files": files, "bytes": total})
        return
    rows = [
        (file["name"], file["state"], "unknown" if file["size"] is None else megabytes(file["size"]), file["from"])
        for file in files
    ]
    table("", ["name", "state", "size", "from"], rows)
    echo(_what_would_be(files, total, everything, str(place_of(entries[0]).parent)))


def _what_would_be(files: list[dict[str, Any]], total: int, everything: bool, folder: str) -> str:
    """The last line of a dry run."""
    from caffdet_cli.released.meter import megabytes

    names = {state: [file["name"] for file in files if file["state"] == state] for state in ("by hand", "missing")}
    if names["by hand"] and not everything:
        return f"would refuse: a person must fetch {', '.join(names['by hand'])}"
    if names["missing"]:
        return f"would refuse {_count(names['missing'])}: not at hand, and nothing is fetched offline"
    unknown = [file for file in files if file["size"] is None and file["state"] == "to fetch"]
    known = [megabytes(total)] if total or not unknown else []
    what = " and ".join([*known, *([f"{_count(unknown)} of unknown size"] if unknown else [])])
    return f"would fetch {what} into {folder}"


def _count(files: "Sequence[object]") -> str:
    return "1 file" if len(files) == 1 else f"{len(files)} files"


def _fetch_all(
    entries: "Sequence[Entry]", ways: "Ways", overwrite: bool, meter: "Meter", json: bool, *, everything: bool
) -> None:
    """One after the other; what one file lacks does not keep the others away."""
    from caffdet_cli.released.fetch import by_hand, fetch, place_of

    manual = [entry for entry in entries if entry.page and not ways.mirror and not place_of(entry).is_file()]
    if manual and not everything:
        raise WeightsError("\n".join(map(by_hand, manual)))
    done: list[tuple[Entry, Fetched]] = []
    failed: dict[str, CaffdetError] = {}
    for entry in entries:
        if entry in manual:
            continue
        try:
            done.append((entry, fetch(entry, ways, meter, overwrite)))
        except (RunError, WeightsError) as error:
            if len(entries) == 1 or isinstance(error, DiskFull):
                raise
            if everything and entry.page and isinstance(error, WeightsError):
                manual.append(entry)  # the mirror does not have it
                continue
            failed[entry.name] = error
            meter.warn(f"{entry.name}: {error}")
    for entry in manual:
        meter.warn(by_hand(entry))
    if failed:
        kind = RunError if any(isinstance(error, RunError) for error in failed.values()) else WeightsError
        raise kind(f"{len(failed)} of {len(entries)} files were not fetched: {', '.join(failed)}; reasons are above")
    _show_done(done, manual, json)


def _show_done(done: "Sequence[tuple[Entry, Fetched]]", manual: "Sequence[Entry]", json: bool) -> None:
    from caffdet_cli.released.meter import megabytes

    if json:
        files = [
            {
                "name": entry.name,
                "path": str(file.path),
                "size": file.facts.size,
                "md5": file.facts.md5,
                "sha256": file.facts.sha256,
                "fetched": file.is_new,
            }
            for entry, file in done
        ]
        print_json(
            {"schema": 1, "files": files, "by_hand": [{"name": each.name, "page": each.page} for each in manual]}
        )
        return
    rows = [
        (entry.name, "fetched" if file.is_new else "was at hand", megabytes(file.facts.size or 0), str(file.path))
        for entry, file in done
    ]
    table("", ["name", "state", "size", "file"], rows)

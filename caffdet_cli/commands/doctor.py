"""`caffdet doctor`: versions, devices, what is fast, what is missing and how to get it."""

from caffdet_cli.commands import options
from caffdet_cli.commands.console import print_json, table


def command(json: options.Json = False, debug: options.Debug = False) -> None:
    """What this machine has, what is fast on it, what is missing."""
    from caffdet_cli.doctor import examine

    report = examine()
    if json:
        print_json(report.json())
        return
    topics = [
        ("Versions", "package", "version", report.versions),
        ("Devices", "device", "is", report.devices),
        ("Speed", "what", "is", report.speed),
        ("Folders", "what", "where", report.folders),
        ("Missing", "what", "get it with", report.missing),
    ]
    for title, what, value, lines in topics:
        if lines:
            table(title, [what, value, ""], [(line.what, line.value, line.note) for line in lines])

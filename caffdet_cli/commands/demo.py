"""`caffdet demo`: the whole way on built-in data."""

from typing import TYPE_CHECKING

from caffdet_cli.commands import console, options

if TYPE_CHECKING:
    from caffdet_cli.demo import DemoReport


def command(
    output: options.Output = None,
    seed: options.Seed = None,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Train three small detectors on made-up RGB + infrared pairs, and show what the pair is worth.

    Takes a few minutes on two processor cores. Results go to runs/demo-<number>, or to --output.
    """
    from dataclasses import asdict

    from caffdet_cli.commands.live import make_watch
    from caffdet_cli.demo import run_demo
    from caffdet_cli.denormals import denormals_as_zero

    with denormals_as_zero():
        folder, figures = run_demo(
            output,
            seed=seed,
            device=device,
            overwrite=overwrite,
            watches=lambda title: make_watch(quiet, verbose, title),
            progress=console.progress(quiet, verbose),
        )
    if json:
        console.print_json({"schema": 1, "output": str(folder), **asdict(figures)})
        return
    _show(figures)
    console.echo(f"pictures of what was found: {folder / 'pictures' / 'sheet.jpg'}")
    console.echo(f"figures: {folder / 'report.json'}; runs: {folder / 'pair'}, {folder / 'rgb'}, {folder / 'ir'}")


def _show(figures: "DemoReport") -> None:
    rows = [
        ("trained on the pair, given both", figures.pair),
        ("trained on the pair, given infrared only", figures.pair_without_rgb),
        ("trained on the pair, given RGB only", figures.pair_without_ir),
        ("trained on RGB alone", figures.rgb_alone),
        ("trained on infrared alone", figures.ir_alone),
    ]
    title = f"AP on the validation pairs, in percent ({figures.seconds / 60:.1f} minutes)"
    console.table(title, ["detector", "AP"], [(name, f"{100 * value:.1f}") for name, value in rows])
    gain = 100 * (figures.pair - max(figures.rgb_alone, figures.ir_alone))
    console.echo(
        f"the pair is {abs(gain):.1f} AP {'above' if gain >= 0 else 'below'} the better detector of one spectrum"
    )

"""Run the demo fleet and send its traces to an OTLP address."""

import argparse
import importlib
import logging
import os
import re
import sys
from typing import Any

_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def main(arguments: list[str] | None = None) -> int:
    """Run the fleet; 0 only if every span was accepted."""
    options = _parser().parse_args(arguments)
    try:
        # The SDKs take seconds to import, and a base install does not have them.
        fleet: Any = importlib.import_module("pilothouse.testing.demo.fleet")
    except ModuleNotFoundError as error:
        sys.stderr.write(f"error: the demo needs {error.name}\nhint: pip install 'pilothouse[demo]'\n")
        return 2
    # The SDKs' own loggers would repeat every scripted failure.
    logging.disable(logging.CRITICAL if options.quiet else logging.ERROR)
    config = fleet.FleetConfig(
        endpoint=options.endpoint,
        key=options.key,
        rounds=options.rounds,
        seed=options.seed,
        spread_s=options.spread,
    )

    def show(run: Any) -> None:
        if not options.quiet:
            _write(run.line())

    report = fleet.run_fleet(config, show)
    exports = report.exports
    _write(f"{len(report.runs)} runs, {exports.accepted} spans accepted, {exports.refused} refused")
    if exports.refused:
        sys.stderr.write(f"error: {exports.refused} spans were not accepted by {options.endpoint}\n")
        sys.stderr.write("hint: check the address and the key\n")
    return 1 if exports.refused else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pilothouse.testing.demo", description=__doc__)
    parser.add_argument("--endpoint", default="http://127.0.0.1:4318", help="OTLP/HTTP address without /v1/traces")
    parser.add_argument(
        "--key",
        default=os.environ.get("PILOTHOUSE_API_KEY", ""),
        help="API key, sent as a bearer token; better in PILOTHOUSE_API_KEY, since arguments are public",
    )
    parser.add_argument("--rounds", type=int, default=7, help="some nine traces each; default 7")
    parser.add_argument("--seed", type=int, default=0, help="fixes questions, answers and delays")
    parser.add_argument("--spread", type=_seconds, default=0.0, help="move runs back over this time, such as 24h")
    parser.add_argument("--quiet", action="store_true", help="print the summary only")
    return parser


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time; write a number and s, m, h or d, such as 24h")
    return float(found[1]) * _UNITS_S[found[2]]


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

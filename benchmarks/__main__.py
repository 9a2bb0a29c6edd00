"""``make bench``: every budget of the design with the figure measured beside it; with ``--peers`` the same load on peers.

Nothing here fails a build: figures depend on the machine, whose load is printed with them. ``--quick`` takes a
twentieth of the data.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

from . import command_line, guard_rules, imports, ingest, peers, reading
from .table import Row


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument(
        "--only",
        default="",
        help="ingest, reading, guards, cli, imports, signals, analysis, export, recorder, runtime, placement, large-data, experiments, gateway, cache or evals",
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    scale = 0.05 if options.quick else 1.0
    load = os.getloadavg()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {load[0]:.1f} at the start\n"
    )
    rows: list[Row] = []
    folder = Path(tempfile.mkdtemp(prefix="pilothouse-bench-"))
    try:
        if options.only == "signals":
            print_signals(folder, quick=options.quick)
            return
        if options.only == "guards":
            print_guards(quick=options.quick)
            return
        if options.only == "analysis":
            print_analysis(folder)
            return
        if options.only == "export":
            print_export(folder)
            return
        if options.only == "experiments":
            print_experiments(folder)
            return
        if options.only == "cache":
            print_cache(folder)
            return
        if options.only == "evals":
            print_evals(folder, quick=options.quick)
            return
        if options.only == "gateway":
            print_gateway(folder, quick=options.quick)
            return
        if options.only in ("runtime", "placement"):
            print_runtime(options.only)
            return
        if options.only == "large-data":
            print_large_data(folder, quick=options.quick)
            return
        parts = {
            "ingest": lambda: ingest_rows(folder, scale),
            "reading": lambda: reading_rows(folder, scale),
            "guards": guard_rows,
            "cli": lambda: cli_rows(folder),
            "imports": lambda: import_rows(folder, scale),
        }
        for name, part in parts.items():
            if options.only in ("", name):
                rows += part()
        if options.only == "recorder":
            # Minutes, and environments of its own: only where it is asked for. Its module needs nothing else of ours.
            from . import recorder

            rows += recorder.measure(rounds=2 if options.quick else 7, hold_s=30 if options.quick else 120)
        if options.peers:
            rows += peers.compare(folder, max(int(40 * scale), 4))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    width = max(len(row.what) for row in rows)
    budget = max(len(row.budget) for row in rows)
    print(f"{'what':<{width}}  {'budget':<{budget}}  measured")
    for row in rows:
        print(f"{row.what:<{width}}  {row.budget:<{budget}}  {row.measured}")
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))


def print_signals(folder: Path, *, quick: bool) -> None:
    """Precision and recall of the signals; its SDKs are imported only here."""
    from . import signals

    for line in signals.report(folder / "signals", each=1 if quick else 5):
        print(line, flush=True)


def print_guards(*, quick: bool) -> None:
    """What the guards catch, what they get in the way of, and what they take."""
    from . import guard_report

    for line in guard_report.report(quick=quick):
        print(line, flush=True)


def print_evals(folder: Path, *, quick: bool) -> None:
    """A thousand cases, beside the tools that do the same; theirs are imported only in processes of their own."""
    from . import evals

    for line in evals.report(folder / "evals", quick=quick):
        print(line, flush=True)


def print_analysis(folder: Path) -> None:
    """How well failures of real runs are grouped; its libraries are imported only here."""
    from . import analysis

    for line in analysis.report(folder / "analysis"):
        print(line, flush=True)
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")


def print_export(folder: Path) -> None:
    """What a trace costs to read, in each form, on real runs."""
    from . import export_sizes

    for line in export_sizes.report(folder / "export"):
        print(line, flush=True)


def print_experiments(folder: Path) -> None:
    """Hundreds of experiments compared over MCP, and what that puts into the context."""
    from . import experiments

    for line in experiments.report(folder / "experiments"):
        print(line, flush=True)
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")


def print_cache(folder: Path) -> None:
    """False hits and hits of the cache by meaning, and what a look-up takes."""
    from . import cache

    for line in cache.report(folder):
        print(line, flush=True)
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")


def print_gateway(folder: Path, *, quick: bool) -> None:
    """What a call through the gateway costs beside a direct one, and memory over time."""
    from . import gateway

    for line in gateway.report(folder, quick=quick):
        print(line, flush=True)
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")


def print_runtime(part: str) -> None:
    """Bad models with and without each capability, and on others' planning; where the plan stands and what it costs."""
    from . import placement, runtime

    for line in {"runtime": runtime.report, "placement": placement.report}[part]():
        print(line, flush=True)
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")


def print_large_data(folder: Path, *, quick: bool) -> None:
    """Previews and queries of large values, beside jq and head."""
    from . import large_data

    for line in large_data.report(folder / "large", large_data.SIZES_MB[:2] if quick else large_data.SIZES_MB):
        print(line, flush=True)
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")


def ingest_rows(folder: Path, scale: float) -> list[Row]:
    """Durable ingest over HTTP into a real server."""
    result = ingest.measure(folder / "ingest", requests=max(int(120 * scale), 8))
    return [
        Row(
            f"durable ingest, {result.span_bytes / 1000:.0f} kB agent spans, gzip OTLP: stored and searchable",
            ">= 4,000 spans/s",
            f"{result.stored_per_s:,.0f} spans/s ({result.spans:,} spans; acknowledged at {result.acked_per_s:,.0f}/s)",
        ),
        Row(
            "  acknowledgement p99 at 1,000 spans/s",
            "< 250 ms",
            f"{result.paced_ack_p99_ms:.0f} ms (p50 {result.paced_ack_p50_ms:.0f})",
        ),
        Row("  acknowledgement p99 at full speed", "", f"{result.ack_p99_ms:.0f} ms (p50 {result.ack_p50_ms:.0f})"),
        Row("  CPU of the server's processes", "", f"{result.cpu_us:.0f} us a span"),
        Row("ingest to visible, p95", "< 1 s", f"{result.visible_p95_ms:.0f} ms (p50 {result.visible_p50_ms:.0f})"),
        Row(
            f"disk, 30-turn agents, {result.long_span_bytes / 1000:.0f} kB a span as sent",
            "<= 1.2 kB a span",
            f"{result.long_disk_bytes:,.0f} B a span",
        ),
        Row("disk, the load above", "", f"{result.disk_bytes:,.0f} B a span"),
        Row("server memory under load, all processes", "< 800 MB", f"{result.peak_mb:.0f} MB at the peak"),
        Row("server, start to ready", "< 3 s", f"{result.ready_s:.2f} s"),
    ]


def reading_rows(folder: Path, scale: float) -> list[Row]:
    """Reads over a synthetic store."""
    spans = max(int(2_000_000 * scale), 50_000)
    return [
        Row(f"{name} at {spans:,} spans, p95", budget, f"{p95:.0f} ms (p50 {p50:.0f})")
        for name, budget, p50, p95 in reading.measure(folder / "reading", spans)
    ]


def guard_rows() -> list[Row]:
    """Masking rules."""
    return [Row("guards, one 1 kB message, all rules", "<= 30 us", f"{guard_rules.measure():.1f} us")]


def cli_rows(folder: Path) -> list[Row]:
    """Start-up of the command line, and the size of an installation."""
    result = command_line.measure(folder)
    return [
        Row("CLI --help", "<= 0.25 CPU s", f"{result.help_cpu_s:.3f} CPU s"),
        Row("CLI ls", "<= 0.25 CPU s", f"{result.ls_cpu_s:.3f} CPU s"),
        Row("longest help", "<= 1,500 bytes", f"{result.help_bytes:,} bytes ({result.largest_help})"),
        Row("MCP list of tools", "<= 6,000 bytes", f"{result.tool_list_bytes:,} bytes"),
        Row("MCP instructions", "<= 1,000 bytes", f"{result.instructions_bytes:,} bytes"),
        Row("pilothouse mcp, start to list of tools", "", f"{result.mcp_cpu_s:.2f} CPU s"),
        Row("pip install 'pilothouse[all]'", "< 1 GB", f"{result.installed_mb:.0f} MB"),
    ]


def import_rows(folder: Path, scale: float) -> list[Row]:
    """Importing a transcript of Claude Code."""
    result = imports.measure(folder, max(int(40 * scale), 4))
    return [
        Row("import claude, reading alone", "", f"{result.read_mb_per_cpu_s:.1f} MB/CPU s"),
        Row(
            "import claude, until acknowledged",
            "",
            f"{result.sent_mb_per_s:.2f} MB/s, {result.amplified:.0f} bytes sent a byte read, {result.peak_mb:.0f} MB at most",
        ),
    ]


if __name__ == "__main__":
    main()

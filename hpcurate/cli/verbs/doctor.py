"""`hpcurate doctor`: look at the cluster once, explain what it is like, and write the site profile."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import attrs
import msgspec

from hpcurate.cli.arguments import VerbParser
from hpcurate.cli.store_choice import find_store
from hpcurate.cli.terminal import show, show_json
from hpcurate.errors import ConfigError
from hpcurate.runs.folder import check_store_writable
from hpcurate.runs.launcher import LAUNCHERS, DiagnosisReport, make_launcher
from hpcurate.site import SiteProfile, to_yaml
from hpcurate.site_files import load_site, user_file

WAIT_S = 120.0
"""How long the probe job may wait in the queue."""


def parser() -> argparse.ArgumentParser:
    """See `hpcurate doctor --help`."""
    made = VerbParser("doctor", "look at the cluster with one small job, explain it, write a site profile")
    made.add_argument("--store", metavar="DIR", help="the store that compute nodes must see; default as for every verb")
    made.add_argument("--partition", help="where the probe job runs; default: the site's default")
    made.add_argument("--account", help="account of the probe job")
    made.add_argument("--wait", type=float, default=WAIT_S, help="seconds the probe job may wait (default 120)")
    made.add_argument("--no-job", action="store_true", help="ask the controller only")
    made.add_argument("--write", action="store_true", help="write the profile into your configuration folder")
    made.add_argument("--to", help="write it into this file, e.g. conf/site/mycluster.yaml")
    made.add_argument("--json", action="store_true", help="as JSON; nothing is written")
    return made


def verb(argv: list[str]) -> int:
    """Print findings and profile; exit status 1 where a run could not work."""
    options = parser().parse_args(argv[1:])
    launcher = make_launcher(
        {"_target_": LAUNCHERS["slurm"], "partition": options.partition, "account": options.account}
    )
    if launcher.diagnosis is None:
        show(["there is no Slurm client here: runs work on this machine (launcher=local)",
              "on a cluster's login node: load the site's Slurm module first"])  # fmt: skip
        return 0
    report = launcher.diagnosis.examine(
        _store(options.store), known=load_site({"use": "auto"}), wait_s=None if options.no_job else options.wait
    )
    if options.json:
        show_json(_plain(report))
    else:
        show(_lines(report))
        _write_profile(report.profile, options)
    return 0 if report.ok else 1


def _store(given: str | None) -> str | None:
    try:
        store = os.path.abspath(os.path.expanduser(find_store(given)))
    except ConfigError:
        return None
    check_store_writable(store)
    return store


def _plain(report: DiagnosisReport) -> dict[str, Any]:
    found = [msgspec.to_builtins(finding) for finding in report.findings]
    return {"findings": found, "trouble": report.trouble, "profile": attrs.asdict(report.profile)}


def _lines(report: DiagnosisReport) -> list[str]:
    width = max(len(f.what) for f in report.findings)
    lines = [f"{f.what:<{width}}  {f.value}" + (f"  ({f.meaning})" if f.meaning else "") for f in report.findings]
    return [*lines, *([f"{'probe job':<{width}}  {report.trouble}"] if report.trouble else []), ""]


def _write_profile(profile: SiteProfile, options: argparse.Namespace) -> None:
    text = to_yaml(profile)
    path = Path(options.to).absolute() if options.to else user_file() if options.write else None
    if path is None:
        show(["site profile:", *(f"  {line}" for line in text.splitlines()), ""])
        show(["next: the same with --write keeps it for all later commands; --to conf/site/NAME.yaml for a project"])
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.read_text() != text:
            os.replace(path, f"{path}.bak")
        path.write_text(text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}; name another with --to") from None
    used = f"with site={path.stem}" if options.to else "automatically"
    show([f"wrote {path}; later commands use it {used}"])

"""`hpcurate doctor`: look at the cluster once, explain what it is like, and write the site profile."""

from __future__ import annotations

import argparse
import importlib
import json
import os
from pathlib import Path
from typing import Any

import attrs

from hpcurate.cli.store_choice import find_store
from hpcurate.cli.terminal import show
from hpcurate.errors import ConfigError, LauncherError
from hpcurate.runs.folder import check_store_writable
from hpcurate.site import SiteProfile, load_site, to_yaml, user_file

WAIT_S = 120.0
"""How long the probe job may wait in the queue."""


def verb(argv: list[str]) -> int:
    """Print findings and profile; exit status 1 where a run could not work."""
    options = _parser().parse_args(argv[1:])
    doctor = importlib.import_module("launchers.slurm.doctor")
    if not doctor.has_client():
        show(["there is no Slurm client here: runs work on this machine (launcher=local)",
              "on a cluster's login node: load the site's Slurm module first"])  # fmt: skip
        return 0
    store = _store(options.store)
    seen = doctor.look()
    node, trouble = _probe(options, store)
    found = list(doctor.findings(seen, node, store or ""))
    profile = doctor.profile_from(seen, node, store, load_site({"use": "auto"}))
    if options.json:
        plain = {"findings": [attrs.asdict(f) for f in found], "trouble": trouble, "profile": attrs.asdict(profile)}
        print(json.dumps(plain, indent=1))
    else:
        show(_lines(found, trouble))
        _give(profile, options)
    bad = trouble or (node is not None and not (node.complete and node.sees_store and node.python))
    return 1 if bad else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hpcurate doctor", description="look at the cluster with one small job, explain it, write a site profile"
    )
    parser.add_argument("--store", help="the store that compute nodes must see; default as for every command")
    parser.add_argument("--partition", help="where the probe job runs; default: the site's default")
    parser.add_argument("--account", help="account of the probe job")
    parser.add_argument("--wait", type=float, default=WAIT_S, help="seconds the probe job may wait (default 120)")
    parser.add_argument("--no-job", action="store_true", help="ask the controller only")
    parser.add_argument("--write", action="store_true", help="write the profile into your configuration folder")
    parser.add_argument("--to", help="write it into this file, e.g. conf/site/mycluster.yaml")
    parser.add_argument("--json", action="store_true", help="as JSON; nothing is written")
    return parser


def _store(given: str | None) -> str | None:
    try:
        store = os.path.abspath(os.path.expanduser(find_store(given)))
    except ConfigError:
        return None
    check_store_writable(store)
    return store


def _probe(options: argparse.Namespace, store: str | None) -> tuple[Any, str]:
    """(report of the probe job, why there is none)."""
    if options.no_job:
        return None, ""
    if store is None:
        return None, "no probe job: name a folder on shared storage with --store, where it can write"
    words = {"partition": options.partition, "account": options.account}
    try:
        site_probe = importlib.import_module("launchers.slurm.probe_job")
        return site_probe.probe_node(store, {k: v for k, v in words.items() if v}, options.wait), ""
    except LauncherError as error:
        return None, str(error)


def _lines(found: list[Any], trouble: str) -> list[str]:
    width = max(len(f.what) for f in found)
    lines = [f"{f.what:<{width}}  {f.value}" + (f"  ({f.meaning})" if f.meaning else "") for f in found]
    return [*lines, *([f"{'probe job':<{width}}  {trouble}"] if trouble else []), ""]


def _give(profile: SiteProfile, options: argparse.Namespace) -> None:
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
    used = f"site={path.stem}" if options.to else "by itself"
    show([f"wrote {path}; later commands use it {used}"])

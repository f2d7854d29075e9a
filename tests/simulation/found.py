"""What the simulation has found in the protocol, each fixed: taken back, every one is caught again.

The edits undo the fix; settings and seed are those of a shrunk episode that shows what was wrong.
"""

from __future__ import annotations

from tests.simulation.mutants import Edit, Mutant, _mutant

FOUND: tuple[Mutant, ...] = (
    _mutant(
        "a ticket that cannot be read now is empty",
        Edit("store/rounds.py", "with suppress(FileNotFoundError, ValueError):", "with suppress(OSError, ValueError):"),
        scenario="typed again",
        errors=0.02,
        unanswered=0.6,
    ),
    _mutant(
        "one listing is enough",
        Edit("runs/commits_seen.py", "if lost_s >= CONFIRM_S]", "if lost_s >= 0.0]"),
        scenario="a call that stays",
        stale_s=60.0,
    ),
    _mutant(
        "who stood still takes others for silent",
        Edit("runs/beats.py", "min(max(0.0, asked - last), LONGEST_STEP_S)", "asked - last"),
        scenario="local, typed again",
        clock_jumps=100,
        nodes=1,
        stays=True,
        again=3,
        kills=0,
    ),
    _mutant(
        "nobody waits for a claim without content",
        Edit("worker/picker.py", "                    self.waits = True\n", "                    self.waits = False\n"),
        links=False,
        stops=0.01,
        kills=2,
        alone=False,
        seed=32,
    ),
    _mutant(
        "a list that is being written is empty",
        Edit("source/intake.py", "if self.scan.count and self.store.lists.is_begun(name):", "if False:"),
        scenario="in the same second",
        links=False,
        stops=0.01,
    ),
    _mutant(
        "a store's mark may stay without content",
        Edit("runs/folder.py", "if not filesystem.read(store.format_json):", "if False:"),
        scenario="typed again",
        links=False,
        stops=0.1,
        kills=6,
    ),
    _mutant(
        "children of one that cannot write are over",
        Edit(
            "runs/rounds_seen.py",
            "bool(sign) and not any(self._processes.alive(worker) for worker in jobs.workers)",
            "bool(sign)",
        ),
        scenario="local",
        full=2,
        slowest_s=400.0,
    ),
    _mutant(
        "a ticket without its cluster",
        Edit(
            "runs/submitting.py",
            "            if found is not None:\n                return found\n",
            '            return found or ""\n',
        ),
        scenario="typed again",
        foreign=True,
        silent=0.3,
        slowest_s=400.0,
    ),
    _mutant(
        "a gate that is not listed once is replaced",
        Edit("runs/looking.py", 'return False if still.of(job, b"", asked) >= ask_s else None', "return False"),
        scenario="a chain",
        empty=0.7,
        unanswered=0.6,
        again=4,
        hangs=0.0,
        seed=0,
    ),
    _mutant(
        "an answer that is long on its way is silence",
        Edit(
            "worker/picker.py",
            "self._watch.stood_still(name, counter, asked, self._heartbeat.gapless_since, answered)",
            "self._watch.stood_still(name, counter, answered, self._heartbeat.gapless_since, answered)",
        ),
        scenario="workers alone",
        hangs=0.3,
        workers=3,
        errors=0.0,
        stops=0.0,
        nodes=3,
        slowest_s=400.0,
    ),
    _mutant(
        "a shard that was looked for too early is damaged",
        Edit("runs/commits_seen.py", "if self.before.get(shard) or shard not in self.unread:", "if True:"),
        scenario="local, typed again",
        stale_s=60.0,
    ),
    _mutant(
        "a name of a run may be empty",
        Edit("runs/folder.py", "    if not name:\n", "    if False:\n"),
        scenario="in the same second",
        links=False,
        stops=0.01,
    ),
    _mutant(
        "a claim that cannot be read now has no history",
        Edit(
            "store/claims.py",
            "        with suppress(FileNotFoundError, ValueError, msgspec.MsgspecError):\n            return msgspec.convert(json",
            "        with suppress(OSError, ValueError, msgspec.MsgspecError):\n            return msgspec.convert(json",
        ),
        scenario="workers alone",
        poison=2,
        errors=0.05,
    ),
    _mutant(
        "two failed reads of a counter are a counter that stands still",
        Edit(
            "worker/picker.py",
            "        except OSError:  # no answer: two of them are not the same counter twice\n            return False\n",
            '        except OSError:\n            counter = b""\n',
        ),
        scenario="workers alone",
        seed=152522,
        workers=3,
        nodes=3,
        stale_s=60.0,
        errors=0.02,
        hangs=0.01,
        slowest_s=400.0,
    ),
)

"""The one decision: every state of a stage has one next thing, and everything ends (I8, I14)."""

from __future__ import annotations

import attrs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planned import planned

from hpcurate.failures import AttemptEnd, Ending, FailureKind, Report
from hpcurate.planning.budget import Budget
from hpcurate.runs.left import Group, Left, left_of
from hpcurate.runs.nodes import Nodes
from hpcurate.runs.reconcile import (
    Action,
    MakeLists,
    MarkOver,
    Phase,
    RecordJobs,
    RoundView,
    StageView,
    Submit,
    Watch,
    WriteIndex,
    reconcile,
    rounds_without_progress,
)
from hpcurate.runs.state import RunState, StageCounts
from hpcurate.store.rounds import Jobs
from hpcurate.verdict import Allowance, Limits, judge

STRICT = Budget(failed=0, fraction=0.0)
JOBS = Jobs(("7",))


def counts(done: int = 0, shards: int = 4, failed: int = 0, tasks: int = 0) -> StageCounts:
    """Counts of a stage."""
    return StageCounts(shards=shards, shards_done=done, failed=failed, tasks_in=tasks)


def rounds(*phases: Phase, done_before: int = 0, **more: object) -> tuple[RoundView, ...]:
    """Rounds 1, 2, … of a stage on Slurm, watched by a gate."""
    each = {"queue": "slurm", "jobs": JOBS, "watched": True, "done_before": done_before, **more}
    return tuple(RoundView(number=n, phase=phase, **each) for n, phase in enumerate(phases, 1))  # type: ignore[arg-type]


def stage(name: str = "cut", **more: object) -> StageView:
    """A stage that is ready and has its lists, unless said otherwise."""
    return StageView(**{"name": name, "ready": True, "listed": True, "counts": counts(), **more})  # type: ignore[arg-type]


def decide(*stages: StageView, cancelled: bool = False) -> tuple[RunState, tuple[Action, ...]]:
    """State and actions."""
    decision = reconcile(stages, Budget(), cancelled=cancelled)
    return decision.state, decision.actions


OVER, ACTIVE, UNKNOWN, SUBMITTING = Phase.OVER, Phase.ACTIVE, Phase.UNKNOWN, Phase.SUBMITTING
VANISHED = Phase.VANISHED


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (stage(ready=False, listed=False), (RunState.INCOMPLETE, ())),
        (stage(listed=False), (RunState.RUNNING, (MakeLists("cut"),))),
        (stage(), (RunState.RUNNING, (Submit("cut", 1, Group(4)),))),
        (stage(counts=counts(3)), (RunState.RUNNING, (Submit("cut", 1, Group(1)),))),
        (stage(counts=counts(4)), (RunState.COMPLETE, ())),
        (stage(counts=counts(0, shards=0)), (RunState.COMPLETE, ())),
        (stage(rounds=rounds(SUBMITTING)), (RunState.RUNNING, ())),
        (stage(rounds=rounds(UNKNOWN)), (RunState.RUNNING, ())),
        (stage(rounds=rounds(VANISHED)), (RunState.RUNNING, ())),
        (stage(rounds=rounds(VANISHED, watched=False, queue=None)), (RunState.RUNNING, ())),
        (stage(rounds=rounds(VANISHED), counts=counts(4)), (RunState.COMPLETE, ())),
        (stage(rounds=rounds(UNKNOWN, watched=False)), (RunState.RUNNING, ())),
        (stage(rounds=rounds(ACTIVE)), (RunState.RUNNING, ())),
        (stage(rounds=rounds(ACTIVE, watched=False)), (RunState.RUNNING, (Watch("cut", 1, JOBS),))),
        (stage(rounds=rounds(ACTIVE, watched=False, queue=None)), (RunState.RUNNING, ())),
        (stage(rounds=rounds(OVER)), (RunState.RUNNING, (Submit("cut", 2, Group(4)),))),
        (stage(rounds=rounds(OVER), counts=counts(4)), (RunState.COMPLETE, ())),
        (stage(rounds=rounds(ACTIVE), counts=counts(4)), (RunState.COMPLETE, ())),
        (stage(rounds=rounds(OVER, OVER)), (RunState.STALLED, ())),
        (stage(rounds=rounds(OVER, OVER), counts=counts(1)), (RunState.RUNNING, (Submit("cut", 3, Group(3)),))),
        (stage(rounds=rounds(OVER, OVER), forgiven=1), (RunState.RUNNING, (Submit("cut", 3, Group(4)),))),
        (stage(rounds=rounds(OVER, OVER), forgiven=2), (RunState.RUNNING, (Submit("cut", 3, Group(4)),))),
        (stage(rounds=rounds(OVER, cancelled=True)), (RunState.CANCELLED, ())),
        (stage(rounds=rounds(OVER, cancelled=True), forgiven=1), (RunState.RUNNING, (Submit("cut", 2, Group(4)),))),
        (stage(rounds=rounds(OVER, OVER, UNKNOWN)), (RunState.RUNNING, ())),
    ],
)
def test_a_stage_alone_has_one_next_thing(view: StageView, expected: tuple[RunState, tuple[Action, ...]]) -> None:
    """Every readiness × every phase of its last round."""
    assert expected == decide(view)


@pytest.mark.parametrize("phase", [UNKNOWN, SUBMITTING, ACTIVE, VANISHED])
@pytest.mark.parametrize("idle", [0, 1, 2, 5])
def test_nothing_is_submitted_while_a_round_may_be_alive(phase: Phase, idle: int) -> None:
    """Unknown means wait (I8), and one answer that lists nothing is no evidence, whatever came before."""
    _, actions = decide(stage(rounds=rounds(*[OVER] * idle, phase)))
    assert [] == [action for action in actions if isinstance(action, Submit)]


@pytest.mark.parametrize("view", [stage(), stage(rounds=rounds(ACTIVE)), stage(listed=False)])
def test_a_cancelled_run_does_nothing_more(view: StageView) -> None:
    """Until its user starts it again."""
    assert (RunState.CANCELLED, ()) == decide(view, cancelled=True)


def test_independent_stages_move_at_once() -> None:
    """Each ready stage gets its own action."""
    views = stage("a"), stage("b", listed=False), stage("c", ready=False)
    assert (RunState.RUNNING, (Submit("a", 1, Group(4)), MakeLists("b"))) == decide(*views)


def test_a_stalled_branch_does_not_stop_another() -> None:
    """The run is running while anything runs."""
    assert RunState.RUNNING is decide(stage("a", rounds=rounds(OVER, OVER)), stage("b", rounds=rounds(ACTIVE)))[0]


def test_what_stopped_the_run_is_the_reason() -> None:
    """With the stage's name."""
    decision = reconcile([stage(rounds=rounds(OVER, OVER)), stage("next", ready=False)], Budget())
    assert "cut: 2 rounds in a row committed nothing" == decision.reason


@pytest.mark.parametrize(
    ("done_before", "done", "forgiven", "expected"),
    [([], 0, 0, 0), ([0], 0, 0, 1), ([0], 1, 0, 0), ([0, 2, 2], 2, 0, 2), ([0, 2, 2], 3, 0, 0), ([1, 1, 1], 1, 2, 1)],
)
def test_rounds_without_progress_are_counted_from_the_end(
    done_before: list[int], done: int, forgiven: int, expected: int
) -> None:
    """What was committed between two tickets is progress; what lies before the user's call is forgiven."""
    seen = tuple(RoundView(number=n, phase=OVER, done_before=before) for n, before in enumerate(done_before, 1))
    assert expected == rounds_without_progress(stage(counts=counts(done), rounds=seen, forgiven=forgiven))


def told(*before: int, now: int = 0) -> StageView:
    """A stage whose rounds committed nothing, and what attempts had told before each of them."""
    seen = tuple(RoundView(number=n, phase=OVER, done_before=0, told_before=some) for n, some in enumerate(before, 1))
    return stage(left=Left(told=now), rounds=seen)


def test_a_round_that_told_something_leads_to_a_culprit() -> None:
    """One task too large in the only shard: killed in a batch, killed alone, and the third round passes the others.

    The run was stalled after the second. Other rounds without a commit still end it, and so does the bound of all.
    """
    killed, plain, both = told(0, 1, now=2), told(0, 0), told(0, 1, 2, 2, now=2)
    assert [0, 2, 2] == [rounds_without_progress(view) for view in (killed, plain, both)]
    assert RunState.STALLED is decide(told(*range(20), now=20))[0]


def test_a_round_that_was_refused_is_no_idle_one() -> None:
    """A gate that met two refusals of sbatch found the run stalled at its third try, fifteen seconds after the first.

    The reason that `status` showed was two idle rounds, without a word of sbatch's. The bound of all rounds stays.
    """
    refused = [RoundView(number=n, phase=OVER, done_before=0, queue="slurm") for n in range(1, 21)]
    idle = [msgspec.structs.replace(view, jobs=JOBS) for view in refused]
    found = [rounds_without_progress(stage(rounds=tuple(r))) for r in (refused[:8], [*idle[:2], *refused[2:4]])]
    assert [0, 2] == found
    assert RunState.STALLED is decide(stage(rounds=tuple(refused)))[0]


def sharing(*rounds_over: tuple[str, int]) -> tuple[RoundView, ...]:
    """Rounds that are over, of runs that share the folder: (lists, shards of these done before)."""
    return tuple(
        RoundView(number=n, phase=OVER, lists=lists, done_before=before)
        for n, (lists, before) in enumerate(rounds_over, 1)
    )


def test_rounds_over_other_lists_are_no_stall_of_this_one() -> None:
    """Three trials of other sizes on one store: the third ended as stalled without a round of its own."""
    view = stage(lists="c", rounds=sharing(("a", 0), ("b", 0)))
    assert (RunState.RUNNING, (Submit("cut", 3, Group(4)),)) == decide(view)


def test_two_runs_that_are_stuck_in_one_folder_both_stall() -> None:
    """A trial at 7 of 10 and a full run at 60 of 100 took turns for 1 000 rounds: each saw the other's progress."""
    seen = sharing(("trial", 7), ("full", 60), ("trial", 7), ("full", 60))
    assert (2, 2) == tuple(
        rounds_without_progress(stage(lists=lists, counts=counts(done, of), rounds=seen))
        for lists, done, of in (("trial", 7, 10), ("full", 60, 100))
    )


def test_rounds_of_a_time_without_digests_are_compared_as_then() -> None:
    """They may be the run's own: two that committed nothing of what it has stall it, others end the count."""
    assert [2, 0] == [
        rounds_without_progress(stage(lists="a", counts=counts(done), rounds=sharing(("", 1), ("", 1))))
        for done in (1, 2)
    ]


@pytest.mark.parametrize(("forgiven", "state"), [(0, RunState.STALLED), (1, RunState.RUNNING)])
def test_twenty_rounds_since_the_call_end_a_stage_that_creeps(forgiven: int, state: RunState) -> None:
    """Each commits something: a written bound all the same, and the same command begins another twenty."""
    creeping = stage(
        lists="a",
        counts=counts(20, shards=99),
        forgiven=forgiven,
        rounds=sharing(*(("a", before) for before in range(20))),
    )
    decision = reconcile([creeping], Budget())
    assert state is decision.state
    assert ("79 shards left" in decision.reason) is (state is RunState.STALLED)


# -- escalated rounds ---------------------------------------------------------------------------------


MORE = Group(
    2, Allowance(memory_mb=838, seconds=600), why="2 shards that ran out of memory, 816 of 419 MB; it has 838 MB"
)
MOST = Group(1, Allowance(memory_mb=1676, seconds=600), why="1 shard that ran out of memory; it has 1676 MB")
USUAL, HIGHER = Allowance(memory_mb=419, seconds=600), Allowance(memory_mb=838, seconds=600)


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (Left(), Submit("cut", 2, Group(4))),
        (Left((Group(1), MORE, MOST)), Submit("cut", 2, Group(1))),
        (Left((MORE, MOST)), Submit("cut", 2, MORE)),
        (Left((MORE,), stuck=("shard x: 2 attempts …",)), Submit("cut", 2, MORE)),
    ],
)
def test_ordinary_shards_come_first_then_those_that_need_the_least(left: Left, expected: Submit) -> None:
    """An escalated round is for the shards that need it alone; what is stuck waits until nothing else is left."""
    assert (RunState.RUNNING, (expected,)) == decide(stage(left=left, rounds=rounds(OVER)))


def test_what_no_round_can_finish_ends_the_stage_with_what_to_type() -> None:
    """Before a third try, and before two idle rounds; how many more there are is said."""
    why = "shard 0001-000003: 2 attempts were not done after 58 of 60 min; type stages.cut.max_time=120m"
    decision = reconcile([stage(left=Left(stuck=(why, "shard y")), rounds=rounds(OVER))], Budget())
    assert (RunState.STALLED, f"cut: {why} (and 1 more like it)") == (decision.state, decision.reason)


def test_two_idle_rounds_do_not_keep_a_shard_from_a_round_that_has_more() -> None:
    """Nothing was committed while it was found out that the usual memory is not enough."""
    idle = rounds(OVER, OVER, has=USUAL)
    assert (RunState.RUNNING, (Submit("cut", 3, MORE),)) == decide(stage(left=Left((MORE,)), rounds=idle))
    assert RunState.STALLED is decide(stage(left=Left((Group(2),)), rounds=idle))[0]


@pytest.mark.parametrize(
    ("had", "idle"),
    [
        ([USUAL], 1),
        ([USUAL, USUAL], 2),
        ([USUAL, USUAL, HIGHER], 0),
        ([USUAL, HIGHER, HIGHER], 1),
        ([USUAL, HIGHER, USUAL, USUAL], 2),
        ([HIGHER, USUAL], 2),
        ([HIGHER], 1),
        ([USUAL, Allowance(memory_mb=419, seconds=601)], 0),
        ([Allowance(), USUAL], 0),
    ],
)
def test_a_round_that_had_more_than_any_before_is_progress(had: list[Allowance], idle: int) -> None:
    """Whatever came of it; the first one has nothing to be compared with, and as much again is no more."""
    views = tuple(RoundView(number=n, phase=OVER, done_before=0, has=has) for n, has in enumerate(had, 1))
    assert idle == rounds_without_progress(stage(rounds=views))


def test_nothing_is_decided_before_it_is_written_down_how_a_round_ended() -> None:
    """The scheduler's word on its jobs is read from there: without it the next round would be an ordinary one."""
    view = stage(rounds=rounds(OVER, over_recorded=False))
    assert (RunState.RUNNING, (MarkOver("cut", 1, JOBS),)) == decide(view)
    assert [False, True] == [v.may_go_on for v in (view, stage(rounds=rounds(OVER)))]


# -- nodes ------------------------------------------------------------------------------------------


BAD = Nodes(usable=4, bad={"cpu0": "no scratch space"})


def test_bad_nodes_are_left_out_of_every_round_that_follows() -> None:
    """Of other stages, too."""
    assert [Submit("cut", 1, Group(4), ("cpu0",))] == [*decide(stage(nodes=BAD))[1]]
    assert [Submit("cut", 2, Group(4), ("cpu0",))] == [*decide(stage(nodes=BAD, rounds=rounds(OVER)))[1]]


@pytest.mark.parametrize(("exclude", "state"), [((), RunState.RUNNING), (("cpu0", "cpu1"), RunState.STALLED)])
def test_two_idle_rounds_on_a_bad_node_do_not_end_a_stage_that_others_can_do(
    exclude: tuple[str, ...], state: RunState
) -> None:
    """That it was left out already is no news."""
    assert state is decide(stage(nodes=BAD, rounds=rounds(OVER, OVER, exclude=exclude)))[0]


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        (Nodes(usable=1, bad={"cpu0": "no GPU"}), "1 of 1 nodes are not to be used, more than half: cpu0: no GPU"),
        (Nodes(setups=(Report(worker="w", node="here", kind=FailureKind.SETUP, message="no weights"),),
               rounds_of_setups=2), "setup failed on here: no weights"),
    ],
)  # fmt: skip
def test_where_too_few_nodes_are_left_or_setup_fails_everywhere_the_stage_ends(nodes: Nodes, why: str) -> None:
    """At once, with the names; not after two idle rounds."""
    decision = reconcile([stage(nodes=nodes, rounds=rounds(OVER))], Budget())
    assert (RunState.STALLED, f"cut: {why}") == (decision.state, decision.reason)


# -- budget -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failed", "of", "exceeded"),
    [(5, 5, False), (6, 6, True), (6, 599, True), (6, 600, False), (11, 1000, True), (10, 1000, False)],
)
def test_the_budget_is_five_or_one_percent(failed: int, of: int, exceeded: bool) -> None:
    """Whichever is more."""
    assert exceeded is Budget().exceeded(failed, of)


def test_a_complete_stage_over_budget_fails_the_run() -> None:
    """Before anything is spent on what comes after."""
    over = stage("cut", counts=counts(4, failed=1, tasks=4))
    decision = reconcile([over, stage("next")], STRICT)
    assert (RunState.FAILED, (), "cut: 1 of 4 tasks failed") == (decision.state, decision.actions, decision.reason)


def test_dead_letters_within_the_budget_are_complete() -> None:
    """The count stands elsewhere."""
    assert (RunState.COMPLETE, ()) == decide(stage(counts=counts(4, failed=5, tasks=6)))


@pytest.mark.parametrize("tasks", [1, 5])
def test_a_stage_that_lost_everything_is_failed_whatever_the_budget(tasks: int) -> None:
    """A trial of five tasks, each a dead letter, was `complete` with exit status 0: five are within the budget."""
    lost = stage("cut", counts=counts(4, failed=tasks, tasks=tasks))
    decision = reconcile([lost, stage("next")], Budget(failed=99))
    expected = (RunState.FAILED, (), f"cut: every task failed ({tasks} of {tasks})")
    assert expected == (decision.state, decision.actions, decision.reason)


def test_dead_letters_add_up_over_the_stages() -> None:
    """Each within the budget, together over it."""
    views = [stage(name, counts=counts(4, failed=4, tasks=10)) for name in ("a", "b")]
    assert RunState.FAILED is reconcile(views, Budget()).state


@pytest.mark.parametrize("found", [(), rounds(OVER)])
def test_what_one_listing_lacks_is_not_submitted(found: tuple[RoundView, ...]) -> None:
    """A shard that was committed is done again only once a second listing lacks it, too; the reason says so."""
    view = stage(counts=counts(3), rounds=found, missing=("0001-000002",))
    decision = reconcile([view], STRICT)
    assert (RunState.RUNNING, ()) == (decision.state, decision.actions)
    assert "1 committed shard not seen any more, e.g. 0001-000002" in decision.reason


def test_a_stage_that_cannot_become_ready_says_why() -> None:
    """Its source was purged: only the command, which reads the input again, can help."""
    decision = reconcile([stage(ready=False, blocked="the input is gone"), stage("next", ready=False)], STRICT)
    assert (RunState.INCOMPLETE, (), "the input is gone") == (decision.state, decision.actions, decision.reason)


# -- what is only to be written down -----------------------------------------------------------------


RECORDS = (RecordJobs, MarkOver, WriteIndex)
STATES = [
    (RunState.RUNNING, [stage()], False),
    (RunState.RUNNING, [stage(listed=False)], False),
    (RunState.RUNNING, [stage(rounds=rounds(ACTIVE))], False),
    (RunState.INCOMPLETE, [stage(ready=False)], False),
    (RunState.COMPLETE, [stage(counts=counts(4))], False),
    (RunState.FAILED, [stage(counts=counts(4, failed=9, tasks=9))], False),
    (RunState.STALLED, [stage(rounds=rounds(OVER, OVER))], False),
    (RunState.CANCELLED, [stage()], True),
    (RunState.CANCELLED, [stage(rounds=rounds(OVER, cancelled=True))], False),
]
"""Every state a run may be in: (state, its views, whether it was cancelled)."""


def test_the_table_has_every_state() -> None:
    """None is forgotten below."""
    assert set(RunState) == {state for state, _, _ in STATES}


@pytest.mark.parametrize(("state", "views", "cancelled"), STATES)
@pytest.mark.parametrize("jobs", [True, False])
@pytest.mark.parametrize("over", [True, False])
@pytest.mark.parametrize("indexed", [True, False])
def test_records_come_first_in_every_state(
    state: RunState, views: list[StageView], cancelled: bool, jobs: bool, over: bool, indexed: bool
) -> None:
    """Exactly what nobody has written down, and after it what there was to do anyway."""
    before = decide(*views, cancelled=cancelled)
    found = RoundView(
        number=3, phase=OVER, done_before=4, jobs=JOBS, jobs_recorded=jobs, over_recorded=over, queue="slurm"
    )
    unindexed = () if indexed else (("list-0123", "0001-000"), ("up-0123", "0001-000"))
    other = stage("other", counts=counts(4), rounds=(found,), unindexed=unindexed)
    expected = [
        *([] if jobs else [RecordJobs("other", 3, JOBS)]),
        *([] if over else [MarkOver("other", 3, JOBS)]),
        *(WriteIndex(folder, fan) for folder, fan in unindexed),
    ]
    assert (state, (*expected, *before[1])) == decide(*views, other, cancelled=cancelled)


@pytest.mark.parametrize(("state", "views", "cancelled"), STATES)
def test_what_is_written_down_is_not_written_again(state: RunState, views: list[StageView], cancelled: bool) -> None:
    """A view that needs nothing written gives no such action."""
    _, actions = decide(*views, cancelled=cancelled)
    assert [] == [action for action in actions if isinstance(action, RECORDS)]


@pytest.mark.parametrize("phase", Phase)
def test_jobs_that_were_found_are_written_down_before_a_gate_waits_for_them(phase: Phase) -> None:
    """A gate that dies in between leaves a round that everybody can see."""
    view = stage(rounds=rounds(phase, watched=False, jobs_recorded=False))
    _, (first, *more) = decide(view)
    assert RecordJobs("cut", 1, JOBS) == first
    assert [Watch("cut", 1, JOBS)] * (phase is ACTIVE) + [Submit("cut", 2, Group(4))] * (phase is OVER) == more


def test_why_a_round_holds_the_run_up_is_the_reason() -> None:
    """In the words of whoever looked, with stage and round."""
    view = stage(rounds=rounds(UNKNOWN, why="is on cluster a, and b answers here"))
    assert "cut: round 1 is on cluster a, and b answers here" == reconcile([view], Budget()).reason


def test_an_earlier_round_may_still_have_workers_where_its_user_cancelled_it() -> None:
    """It is waited for once it is about to be over, and written down, before the next begins: what its workers held
    would be nobody's otherwise, in any round to come.
    """
    first, second = rounds(OVER, OVER)
    (gone,), (unwritten,) = rounds(Phase.VANISHED, over_recorded=True), rounds(OVER, over_recorded=False)
    assert (RunState.RUNNING, ()) == decide(stage(rounds=(gone, second)))
    assert (RunState.RUNNING, (MarkOver("cut", 1, unwritten.jobs),)) == decide(stage(rounds=(unwritten, second)))
    assert not stage(rounds=(gone, second)).may_go_on
    assert not stage(rounds=(unwritten, second)).may_go_on
    assert stage(rounds=(first, second)).may_go_on
    assert Phase.ACTIVE is stage(rounds=(gone, *rounds(ACTIVE))).phase


def test_an_index_that_two_stages_miss_is_written_once() -> None:
    """Both read the same list."""
    missing = (("up-0123", "0001"),)
    views = [stage(name, counts=counts(4), unindexed=missing) for name in ("a", "b")]
    assert (RunState.COMPLETE, (WriteIndex("up-0123", "0001"),)) == decide(*views)


# -- everything ends --------------------------------------------------------------------------------


LIMITS = Limits(
    ordinary=Allowance(memory_mb=400, seconds=600.0),
    most=Allowance(memory_mb=1600, seconds=3600.0),
    here=Allowance(memory_mb=400, seconds=600.0),
)
PLANNED = planned(attempts=3, max_time="1h")


@attrs.define
class SimShard:
    """What a shard takes: without its need no attempt of it is committed."""

    needs: Allowance
    history: list[AttemptEnd] = attrs.field(factory=list)
    done: bool = False

    def attempt(self, here: Allowance) -> None:
        """In a worker that has so much: tried again as `judge` has it."""
        limits = msgspec.structs.replace(LIMITS, here=here)
        for _ in range(3):
            verdict = judge(self.history, PLANNED.attempts, limits)
            if self.done or verdict.stuck or not limits.takes(verdict.needs):
                return
            if verdict.exhausted or verdict.poison or here.suffices(self.needs):
                self.done = True
            else:
                self.history.append(self._end(here, len(self.history) + 1))

    def _end(self, here: Allowance, attempt: int) -> AttemptEnd:
        if self.needs.memory_mb > here.memory_mb:
            return AttemptEnd(attempt=attempt, ending=Ending.OOM, in_flight=("t",), memory_mb=here.memory_mb)
        return AttemptEnd(attempt=attempt, ending=Ending.WALLTIME, seconds=0.9 * here.seconds)


@attrs.define
class Simulated:
    """A stage on a scheduler that does what the script says: runs so many shards of a round, or loses its memory."""

    name: str
    shards: list[SimShard]
    script: list[tuple[int, int, bool]]
    """Per round: shards tried, looks before it is over, whether the scheduler forgets it meanwhile; then all are."""
    listed: bool = False
    rounds: list[RoundView] = attrs.field(factory=list)
    looks: int = 0

    @property
    def done(self) -> int:
        """Committed."""
        return sum(shard.done for shard in self.shards)

    @property
    def left(self) -> Left:
        """Of the shards that are not."""
        tried = [(str(n), tuple(one.history)) for n, one in enumerate(self.shards) if one.history and not one.done]
        return left_of(PLANNED, len(self.shards) - self.done - len(tried), tried, LIMITS)

    def view(self, ready: bool) -> StageView:
        """What an observer sees now; looking lets time pass."""
        if self.rounds and self.rounds[-1].phase is not OVER:
            self._pass_time()
        seen = stage(
            self.name, ready=ready, listed=self.listed, counts=counts(self.done, len(self.shards)),
            rounds=tuple(self.rounds),
        )  # fmt: skip
        return msgspec.structs.replace(seen, left=self.left) if seen.may_go_on else seen

    def _pass_time(self) -> None:
        tried, looks, forgets = self._entry()
        self.looks += 1
        if self.looks > looks:
            for shard in [one for one in self.shards if not one.done][:tried]:
                shard.attempt(self.rounds[-1].has)
            self._set(OVER)
        else:
            self._set(UNKNOWN if forgets else ACTIVE)

    def _entry(self) -> tuple[int, int, bool]:
        number = len(self.rounds) - 1
        return self.script[number] if number < len(self.script) else (len(self.shards), 0, False)

    def _set(self, phase: Phase) -> None:
        self.rounds[-1] = msgspec.structs.replace(self.rounds[-1], phase=phase)

    def do(self, action: Action) -> None:
        """Carry an action out."""
        if isinstance(action, MakeLists):
            self.listed = True
        elif isinstance(action, Watch):
            self.rounds[-1] = msgspec.structs.replace(self.rounds[-1], watched=True)
        else:
            assert isinstance(action, Submit)
            assert not self.rounds or self.rounds[-1].phase is OVER, "two rounds at once"
            assert action.round == len(self.rounds) + 1
            assert 0 < action.group.shards <= len(self.shards) - self.done
            self.looks = 0
            ticket = {
                "done_before": self.done,
                "told_before": self.left.told,
                "has": LIMITS.ordinary.raised(action.group.has),
            }
            self.rounds.append(RoundView(number=action.round, phase=SUBMITTING, queue="slurm", jobs=JOBS, **ticket))  # type: ignore[arg-type]


needs = st.builds(
    lambda memory_mb, seconds: Allowance(memory_mb=memory_mb, seconds=seconds),
    st.sampled_from([0, 0, 300, 500, 1600, 9999]),
    st.sampled_from([0.0, 0.0, 900.0, 3600.0, 9999.0]),
)
scripts = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans()), max_size=12)
simulated = st.lists(st.tuples(st.lists(needs, max_size=6), scripts), min_size=1, max_size=4)


def simulate(plan: list[tuple[list[Allowance], list[tuple[int, int, bool]]]]) -> tuple[RunState, list[Simulated]]:
    """Look and act until nothing is running; a bound far above what is right catches a run that never ends."""
    stages = [Simulated(f"s{n}", [SimShard(one) for one in shards], script) for n, (shards, script) in enumerate(plan)]
    for _ in range(1000):
        views: list[StageView] = []
        for one in stages:
            views.append(one.view(ready=all(view.complete for view in views)))
        decision = reconcile(views, Budget())
        for action in decision.actions:
            assert not isinstance(action, WriteIndex)
            next(one for one in stages if one.name == action.stage).do(action)
        if decision.state is not RunState.RUNNING:
            return decision.state, stages
    raise AssertionError("still running after 1000 looks")


@settings(max_examples=100, deadline=None)
@given(simulated)
def test_every_run_ends(plan: list[tuple[list[Allowance], list[tuple[int, int, bool]]]]) -> None:
    """Complete or stalled, whatever the scheduler does and the shards need, with a written bound on its rounds (I14)."""
    state, stages = simulate(plan)
    assert (RunState.COMPLETE if all(s.done == len(s.shards) for s in stages) else RunState.STALLED) is state
    assert [] == [s.name for s in stages if len(s.rounds) > 20]


@settings(max_examples=40, deadline=None)
@given(st.lists(needs, min_size=1, max_size=6))
def test_rounds_that_try_everything_end_with_every_shard_that_fits(shards: list[Allowance]) -> None:
    """Only what needs more time than there is stays, and it stays alone; what needs more memory is given up."""
    state, (one,) = simulate([(shards, [])])
    stuck = [s for s in one.shards if not s.done]
    assert (RunState.STALLED if stuck else RunState.COMPLETE) is state
    assert [] == [s.needs for s in stuck if s.needs.seconds <= 3600 or s.needs.memory_mb > 1600]
    assert len(one.rounds) < 20

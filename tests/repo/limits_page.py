"""The generated `docs/limits.md`: every limit, what happens beyond it, and the test that shows it.

`python -m tests.repo.limits_page > docs/limits.md` writes the page.
"""

import sys
from typing import Final

from streams.api import letter_model, protocol, run_search
from streams.api.call import service, turns
from streams.api.routes import dead_letters
from streams.kafka import letter_search
from streams.matching import budget
from streams.matching import limits as of_expressions
from streams.settings import Settings
from tests.repo import limits_of_apps, limits_of_pages, limits_text
from tests.repo.limit import Limit
from topology import limits

KIB: Final = 1024
MIB: Final = 1024 * KIB
MS: Final = 1_000_000  # units of `budget`
_PATIENCE: Final = protocol.USUAL
_LETTERS: Final = letter_search.USUAL
_CONNECTIONS: Final = Settings.model_fields["api_connections"].default


def _bytes(number: int) -> str:
    return f"{number // MIB} MiB" if number >= MIB else f"{number // KIB} KiB"


def _count(number: int) -> str:
    return f"{number:,}"


def _days(ms: int) -> str:
    return f"{ms // limits.DAY_MS} days" if ms > limits.DAY_MS else f"{ms // limits.HOUR_MS} hours"


GROUPS: Final[dict[str, list[Limit]]] = {
    "Events and updates": [
        Limit(
            "an event as JSON",
            _bytes(limits.EVENT_BYTES),
            "dead letter `too_large`",
            "acceptance/test_bad_input.py::test_what_is_no_event_is_a_dead_letter",
        ),
        Limit(
            "an event's name, its id",
            f"{limits.EVENT_NAME_CHARS} characters each",
            "dead letter `name_too_long`, `bad_id`",
            "acceptance/test_bad_input.py::test_what_is_no_event_is_a_dead_letter",
        ),
        Limit(
            "events in one `POST /v1/events`",
            _count(limits.EVENTS_PER_CALL),
            "422",
            "unit/streams/api/test_bodies.py::test_no_events_or_too_many",
        ),
        Limit(
            "runs in one heartbeat",
            _count(limits.HEARTBEAT_RUNS),
            "dead letter `bad_update`",
            "unit/streams/router/test_updates.py::test_bad_update_is_refused",
        ),
        Limit(
            "what the runs that one event starts make one partition write",
            _bytes(limits.ENTRY_BYTES),
            "dead letter `too_many_runs`",
            "unit/streams/router/test_batches.py"
            "::test_runs_whose_output_no_transaction_holds_are_refused_whole",
        ),
        Limit(
            "the commands of one record for one partition",
            _bytes(limits.MESSAGE_BYTES),
            "dead letter `too_many_commands`",
            "unit/streams/router/test_batches.py"
            "::test_entry_that_no_message_takes_is_refused_whole",
        ),
        Limit(
            "the result of a step (SDK)",
            _bytes(limits.STEP_RESULT_BYTES),
            "the step fails",
            "unit/streams/sdk/test_steps.py::test_a_result_has_a_bound",
        ),
    ],
    "Functions": [
        Limit(
            "cancel rules, triggers of a function",
            f"{limits.CANCEL_RULES}, {limits.TRIGGERS}",
            "refused when applied",
            "unit/streams/functions/test_definition.py::test_each_wrong_field_is_named",
        ),
        Limit(
            "a definition as JSON",
            _bytes(limits.FUNCTION_BYTES),
            "refused when applied",
            "unit/streams/functions/test_definition.py::test_a_definition_over_the_size_limit_is_refused",
        ),
        Limit(
            "`pending_for`, `early_cancel`, timeouts",
            _days(limits.LONGEST_MS),
            "refused when applied",
            "unit/streams/functions/test_definition.py::test_each_wrong_field_is_named",
        ),
        Limit(
            "`dedupe` of a cancel rule",
            _days(limits.DEDUPE_CANCELS_MS),
            "refused when applied",
            "unit/streams/functions/test_definition.py::test_each_wrong_field_is_named",
        ),
    ],
    "Expressions": [
        Limit(
            "the text of an expression, its nodes, its levels, macros inside each other",
            f"{_bytes(of_expressions.EXPRESSION_BYTES)}, {of_expressions.NODES}, "
            f"{of_expressions.NESTING}, {of_expressions.MACROS}",
            "refused when applied, with its place",
            "unit/streams/matching/test_parse.py::test_every_limit_is_enforced_with_its_place",
        ),
        Limit(
            "literals that take more than an evaluation may, whatever the event",
            f"{of_expressions.EVALUATION_BUDGET // MS} M units",
            "refused when applied, with its place",
            "unit/streams/matching/test_budget.py"
            "::test_what_literals_alone_exceed_is_refused_when_applied",
        ),
        Limit(
            "one evaluation",
            f"{of_expressions.EVALUATION_BUDGET // MS} M units",
            "no answer: no match; of a cancel event one dead letter `evaluation_budget` per event, "
            "function and deciding partition, of a trigger's `if` one per event",
            "acceptance/test_budget.py::test_a_cancel_event_over_its_budget_is_one_dead_letter",
        ),
        Limit(
            "all `if`s of triggers for one event",
            f"{limits.EVENT_COST // MS} M units",
            "dead letter `evaluation_budget`, which names the functions",
            "acceptance/test_budget.py"
            "::test_an_event_has_one_budget_over_all_functions_that_it_may_start",
        ),
        Limit(
            "all match values of one event that become keys in the router",
            f"the same {limits.EVENT_COST // MS} M units; {limits.KEY_BYTE_COST} for each byte",
            "dead letter `evaluation_budget`, which names the functions",
            "acceptance/test_budget.py"
            "::test_match_values_of_many_functions_have_one_budget_together",
        ),
        Limit(
            "items of a list that celpy walks",
            _count(of_expressions.REFERENCE_ITEMS),
            "as over the budget",
            "unit/streams/matching/test_budget.py::test_an_expensive_evaluation_ends",
        ),
        Limit(
            "levels of values that are compared",
            str(of_expressions.VALUE_DEPTH),
            "no answer",
            "unit/streams/matching/test_canonical.py::test_what_has_no_equality_has_no_key",
        ),
        Limit(
            "characters or items that one `+`, `join` or `replace` makes",
            f"{_count(of_expressions.CONCATENATION_LENGTH)}; `replace` also as many as its text",
            "no answer",
            "unit/streams/matching/test_texts.py::test_what_grows_is_bounded",
        ),
        Limit(
            "a pattern of `matches` that is no literal: its characters, what RE2 makes of it",
            f"{_count(of_expressions.GIVEN_PATTERN_CHARS)}, "
            f"{_bytes(max(of_expressions.GIVEN_PATTERN_BYTES))}",
            "no answer",
            "unit/streams/matching/test_computed.py::test_what_is_computed_may_stand_for_a_literal",
        ),
    ],
    "Transactions and long work": [
        Limit(
            "commands taken for one transaction",
            f"{_count(limits.INTAKE_COMMANDS)}, {_bytes(limits.INTAKE_BYTES)}",
            "they wait for the next",
            "acceptance/test_slices.py::test_what_is_taken_is_bounded_by_commands_and_by_bytes",
        ),
        Limit(
            "timers in one transaction",
            _count(limits.TIMERS_PER_TRANSACTION),
            "they fire in the next",
            "acceptance/test_slices.py::test_timeouts_of_large_runs_are_bounded_by_bytes",
        ),
        Limit(
            "decisions of one slice; runs that it looks at",
            f"{limits.SLICE_DECISIONS}; {_count(limits.SLICE_SCANNED)}",
            "work row: the next slice goes on",
            "acceptance/test_slices.py::test_a_cancel_of_many_runs_goes_in_slices",
        ),
        Limit(
            "listeners that a cancel event meets at once",
            "its share of the transaction",
            "work row",
            "acceptance/test_budget.py"
            "::test_the_cost_of_a_transaction_is_bounded_and_the_rest_goes_on",
        ),
        Limit(
            "keys under which a cancel event is held, partitions to which it is sent",
            "its share of the transaction",
            "work row",
            "acceptance/test_shares.py"
            "::test_a_large_cancel_event_of_many_functions_is_met_in_slices",
        ),
        Limit(
            "what was held for a new run: cancels, updates, requests",
            f"{limits.MET_AT_ONCE}, {_bytes(limits.MET_AT_ONCE_BYTES)}",
            "work row; the run isn't dispatched, and its updates wait, until it has met all",
            "acceptance/test_shares.py::test_a_run_is_dispatched_once_it_has_met_all_that_was_held",
        ),
    ],
    "The API": [
        Limit(
            "connections at once",
            f"`COUNTERMAND_API_CONNECTIONS`, {_CONNECTIONS} by default",
            "the one that has waited longest without a call gives way",
            "unit/streams/api/test_protocol.py::test_half_open_connections_keep_nobody_out",
        ),
        Limit(
            "connections whose calls are being answered",
            "as many",
            "503 `too_many_connections`",
            "unit/streams/api/test_protocol.py::test_beyond_the_connections_in_use_is_503",
        ),
        Limit(
            "the head of a request, and the trailers after its body",
            f"{_bytes(protocol.HEAD_BYTES)} each, {protocol.HEAD_FIELDS} fields in all",
            "431",
            "unit/streams/api/test_protocol.py::test_a_head_is_bounded_in_bytes",
        ),
        Limit(
            "the time of a head; a connection between two calls",
            f"{_PATIENCE.head:.0f} s; {_PATIENCE.idle:.0f} s",
            "408; it ends",
            "unit/streams/api/test_protocol.py::test_a_half_open_head_ends",
        ),
        Limit(
            "a body; its time",
            f"`COUNTERMAND_API_BODY_LIMIT`; {service.BODY_WITHIN_S:.0f} s",
            "413; 408",
            "unit/streams/api/test_protocol.py::test_a_slow_body_is_refused",
        ),
        Limit(
            "a body that comes after the answer",
            f"{_PATIENCE.rest:.0f} s",
            "the connection ends",
            "unit/streams/api/test_protocol.py::test_a_body_that_nobody_wants_ends",
        ),
        Limit(
            "calls sent before the first one's answer",
            str(protocol.PIPELINED + 1),
            "the connection ends after their answers",
            "unit/streams/api/test_protocol.py::test_calls_sent_before_an_answer_are_bounded",
        ),
        Limit(
            "the time of an answer that its client doesn't take at once",
            f"{_PATIENCE.taken:.0f} s for {_bytes(protocol.TAKEN_BYTES)}",
            "the connection ends",
            "unit/streams/api/test_protocol.py::test_an_answer_that_nobody_takes_ends",
        ),
        Limit(
            "calls that list runs or the audit trail, or ask for activity, at once",
            f"{turns.AT_ONCE}; the others wait for {turns.WAIT_S:.0f} s",
            "503 `searches_busy`",
            "unit/streams/api/call/test_turns.py"
            "::test_every_other_call_is_answered_beside_searches",
        ),
        Limit(
            "runs that such a call looks at",
            f"{_count(run_search.MOST_SCANNED)}; {limits.SEARCH_COST // MS} M units",
            "the page ends early, with a cursor",
            "unit/streams/api/test_run_search.py::test_an_expensive_expression_ends_a_call_early",
        ),
        Limit(
            "events that it holds: a page, and a lot to look at",
            f"{limits.SEARCH_CHARS // MIB} M characters each, and one event more",
            "the page ends early, with a cursor; the next lot",
            "unit/streams/api/test_run_search.py::test_a_call_holds_a_page_and_a_lot",
        ),
        Limit(
            "calls that read from Kafka (dead letters, the system), at once",
            f"{turns.AT_ONCE}; the others wait for {turns.WAIT_S:.0f} s",
            "503 `searches_busy`",
            "unit/streams/api/routes/test_dead_letters.py"
            "::test_every_other_call_is_answered_beside_reads_from_kafka",
        ),
        Limit(
            "dead letters that a call looks at; their bytes",
            f"{_count(_LETTERS.letters)}; {_bytes(_LETTERS.bytes)} and a round of reading",
            "the page ends early, with a cursor",
            "broker/test_dead_letters_api.py::test_a_page_ends_early",
        ),
        Limit(
            "time with Kafka of a call that reads from it",
            f"{service.KAFKA_WITHIN_S:.0f} s",
            "the page ends early, with a cursor; a part of the system is named as failed; with "
            "nothing to show 503 `kafka_unavailable`",
            "broker/test_dead_letters_api.py::test_a_call_without_time_says_so",
        ),
        Limit(
            "letters that a redrive sends: of a class, by their places",
            f"{_count(dead_letters.MOST_SENT)}, {letter_model.MOST_NAMED}",
            "a cursor goes on; 422",
            "broker/test_dead_letters_api.py::test_many_are_sent_in_portions",
        ),
    ],
    "On disk": [
        Limit(
            "unfinished runs",
            f"until `pending_for`, {_days(limits.PENDING_FOR_MS)} by default",
            "they expire",
            "acceptance/test_timers.py::test_s30_an_unfinished_run_expires",
        ),
        Limit(
            "ended runs",
            f"until `retention`, {_days(limits.RETENTION_MS)} by default",
            "they are removed",
            "acceptance/test_timers.py::test_s30_an_ended_run_goes_with_all_its_rows",
        ),
        Limit(
            "runs of one event id",
            "none: each costs the same; an update by event id pays for each that it looks at",
            "",
            "acceptance/test_many_runs.py::test_many_runs_of_one_event_id_cost_nothing",
        ),
        Limit(
            "held cancels, matches and updates",
            "until the watermark has passed them, and `early_cancel`",
            "they are removed",
            "acceptance/test_order.py"
            "::test_s11_a_cancel_waits_for_its_runs_until_the_watermark_has_passed_it",
        ),
        Limit(
            "first occurrences of cancel events",
            "a row of some 130 bytes per match key, for `dedupe` and a day",
            "they are removed",
            "acceptance/test_repeated_cancels.py::test_s36_the_note_goes_when_no_repeat_can_come",
        ),
        Limit(
            "versions of functions",
            "those that a run was registered with",
            "a version goes with its last run",
            "acceptance/test_timers.py::test_a_version_of_a_function_goes_with_its_last_run",
        ),
        Limit(
            "sources that were read",
            "while their topics are there, and 30 days",
            "they are forgotten",
            "acceptance/test_timers.py::test_a_source_goes_once_its_topic_has_been_gone_for_long",
        ),
        Limit(
            "requests",
            f"{_days(limits.DEDUPE_MS)} after their end",
            "they are forgotten: the same id is a new request",
            "acceptance/test_cancellations.py::test_a_request_leaves_nothing_behind",
        ),
    ],
    "Memory of a joiner": [
        Limit(
            "RocksDB's cache and write buffers, of a process",
            "`COUNTERMAND_ROCKSDB_MEMORY_MIB`",
            "spilled to disk",
            "",
        ),
        Limit(
            "`commands` that wait, of a partition",
            f"{_bytes(limits.QUEUE_BYTES)}, {limits.QUEUE_BATCHES} records",
            "reading pauses",
            "unit/streams/joiner/test_inbox.py::test_commands_are_bounded_by_bytes",
        ),
        Limit(
            "`forwards` that wait, of a partition; what their client fetched",
            f"{_bytes(limits.QUEUE_FORWARD_BYTES)}, {limits.QUEUE_BATCHES} records; "
            f"{_bytes(limits.QUEUE_FORWARD_BYTES)}",
            "reading pauses",
            "unit/streams/joiner/test_inbox.py::test_large_forwards_are_bounded_by_bytes",
        ),
        Limit(
            "the index of held rows, of a partition",
            _bytes(limits.HELD_COUNTERS),
            "more look-ups find nothing",
            "unit/streams/joiner/test_store.py::test_held_rows_take_no_memory_of_their_own",
        ),
        Limit(
            "parsed events, of a transaction",
            f"{_bytes(limits.PARSED_BYTES)} of JSON: 25 MiB",
            "parsed again",
            "unit/streams/joiner/decide/test_view.py::test_parsed_events_take_bounded_memory",
        ),
        Limit(
            "compiled functions, of a process",
            f"{_bytes(limits.COMPILED_BYTES)} of JSON: 90 MiB if they are as usual",
            "compiled again",
            "unit/streams/joiner/decide/test_functions.py::test_old_versions_are_forgotten",
        ),
        Limit(
            "while restoring: what a partition's client fetched, by 8 MiB",
            "32 MiB",
            "reading pauses",
            "",
        ),
    ],
    "Memory of a worker": [
        Limit(
            "cancelled runs whose cleanups wait for their stops",
            f"{_bytes(limits.WAITING_CLEANUPS_BYTES)} of records",
            "reading pauses",
            "unit/streams/sdk/test_cleanups.py::test_what_waits_takes_bounded_memory",
        ),
    ],
    "Memory of every process": [
        Limit(
            "parsed expressions",
            f"{of_expressions.CACHED_EXPRESSIONS}: 10 MiB if they are as usual, 350 MiB",
            "parsed again",
            "unit/streams/joiner/decide/test_functions.py"
            "::test_an_expression_takes_no_more_than_is_stated",
        ),
        Limit(
            "patterns of `matches`; those that came with events",
            f"{of_expressions.SMALL_PATTERNS} of {_bytes(of_expressions.SMALL_PATTERN_BYTES)}, "
            f"{of_expressions.LARGE_PATTERNS} of {_bytes(of_expressions.LARGE_PATTERN_BYTES)}; "
            f"{of_expressions.GIVEN_PATTERNS} of {_bytes(max(of_expressions.GIVEN_PATTERN_BYTES))}",
            "compiled again",
            "unit/streams/matching/test_budget.py::test_patterns_are_bounded_in_all",
        ),
        Limit(
            "what a client fetched (router, read model, reader of `functions`, worker)",
            "64 MiB each",
            "reading pauses",
            "",
        ),
    ],
    "The dashboard": limits_of_pages.ROWS,
    "Apps of Inngest's SDKs": limits_of_apps.ROWS,
}


def page() -> str:
    """The text of `docs/limits.md`."""
    parts = [limits_text.INTRODUCTION]
    for title, rows in GROUPS.items():
        lines = ["| what | at most | beyond | shown by |", "|---|---|---|---|"]
        lines += [
            f"| {row.what} | {row.bound} | {row.beyond or '-'} | {_link(row.test)} |"
            for row in rows
        ]
        parts.append(f"## {title}\n" + "\n".join(lines) + "\n")
    shares = {
        "timers that are due": limits.TIMERS_ALLOWANCE,
        "a slice of long work": limits.SLICE_ALLOWANCE,
        "input": limits.INPUT_ALLOWANCE,
    }
    parts.append(
        limits_text.END.format(
            budget=of_expressions.EVALUATION_BUDGET // MS,
            step=budget.STEP,
            item=budget.ITEM,
            compared=budget.COMPARED,
            error=_count(budget.ERROR),
            reference=budget.REFERENCE,
            reference_items=_count(of_expressions.REFERENCE_ITEMS),
            shares="\n".join(
                f"| {name} | {_bytes(share.bytes)} | {share.cost // MS} M units |"
                for name, share in shares.items()
            ),
            decisions=limits.SLICE_DECISIONS,
            decision=f"{limits.DECISION_BYTES / MIB:.1f}",
            entry=limits.ENTRY_BYTES // MIB,
            transaction=limits.TRANSACTION_BYTES // MIB,
        )
    )
    return "\n".join(parts)


def _link(test: str) -> str:
    return f"`{test.partition('::')[2]}`" if test else "-"


if __name__ == "__main__":
    sys.stdout.write(page())

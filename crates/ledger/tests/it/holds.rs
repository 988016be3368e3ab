//! Reserve, settle, release: all or nothing, the same news twice, refusals and their numbers, debt.

use crate::script::check;

#[test]
fn a_refund_lets_the_next_call_through() {
    check(
        "
        budget  team       $1.00
        reserve a team     $0.60   → held
        reserve b team     $0.50   → waits: held, $1.00 / lifetime of team, $0.40 left, asked $0.50
        settle  a          $0.25   → $0.35 back
        reserve b team     $0.50   → held
        show    team               → $0.25 spent, $0.50 held, $0.25 left
    ",
    );
}

#[test]
fn a_call_holds_on_all_its_accounts_or_on_none() {
    check(
        "
        budget  firm       $10.00
        budget  team       $1.00
        reserve a firm+team $0.80  → held
        reserve b firm+team $1.50  → refused: too large, $1.00 / lifetime of team, $0.20 left, asked $1.50
        show    firm               → $0.80 held, $9.20 left
        settle  a          $0.80
        reserve b firm+team $0.50  → refused: exhausted, $1.00 / lifetime of team, $0.20 left, asked $0.50
        show    firm               → $0.80 spent, $9.20 left
        reserve c firm     $9.00   → held
        show    firm               → $0.80 spent, $9.00 held, $0.20 left
    ",
    );
}

#[test]
fn the_same_question_twice_is_one_hold() {
    check(
        "
        budget  team       $1.00
        budget  firm       $9.00
        reserve a team     $0.60   → held
        reserve a team     $0.60   → held
        show    team               → $0.60 held, $0.40 left
        reserve a team     $0.50   → error: another ask
        reserve a team+firm $0.60  → error: another accounts
        reserve a team     $0.60 high → error: another priority
        reserve a team     $0.60 lasts 5m → held
        settle  a          $0.20
        reserve a team     $0.60   → error: over, settled
    ",
    );
}

#[test]
fn a_refusal_is_not_remembered() {
    check(
        "
        budget  team       $1.00
        reserve a team     $2.00   → refused: too large, $1.00 / lifetime of team, $1.00 left, asked $2.00
        budget  team       $3.00
        reserve a team     $2.00   → held
    ",
    );
}

#[test]
fn the_same_news_twice_is_one_fact_and_other_news_is_a_contradiction() {
    check(
        "
        budget  team       $1.00
        reserve a team     $0.60
        settle  a          $0.25   → $0.35 back
        settle  a          $0.25   → $0.35 back
        settle  a          $0.30   → error: contradicts spent
        release a never-sent       → error: contradicts outcome
        assume  a                  → error: contradicts outcome
        show    team               → $0.25 spent, $0.75 left
        reserve b team     $0.60
        release b never-sent       → done
        release b never-sent       → done
        settle  b          $0.60   → error: contradicts outcome
        assume  b                  → error: contradicts outcome
        settle  c          $0.60   → error: unknown
        release c never-sent       → error: unknown
        assume  c                  → error: unknown
        show    team               → $0.25 spent, $0.75 left
    ",
    );
}

#[test]
fn a_day_after_its_end_an_id_is_too_old_to_be_new() {
    check(
        "
        budget  team       $1.00
        reserve a team     $0.10
        settle  a          $0.10
        wait    24h
        reserve a team     $0.10   → error: over, settled
        wait    1s
        reserve b team     $0.10
        settle  b          $0.10
        reserve a team     $0.10   → error: too old
        settle  a          $0.10   → error: unknown
    ",
    );
}

#[test]
fn an_id_from_the_future_does_not_make_the_present_too_old() {
    check(
        "
        budget  team       $1.00
        # The id is made on a clock that is a year ahead; the ledger never sees that clock.
        wait    9999h
        correct future     $0.10   → nothing was assumed
        set     back 9999h
        reserve future team $0.10  → held
        settle  future     $0.10
        wait    25h
        reserve a team     $0.10
        settle  a          $0.10
        reserve b team     $0.10   → held
    ",
    );
}

#[test]
fn what_is_too_large_is_named_before_what_is_exhausted_and_that_before_what_is_held() {
    check(
        "
        budget  small      $0.50 / day
        budget  team       $1.00 / day
        budget  firm       $9.00 / sliding 1h
        reserve a team     $0.90
        reserve b team     $0.50   → waits: held, $1.00 / day of team, $0.10 left, asked $0.50
        settle  a          $0.90
        reserve b team     $0.50   → refused: exhausted, $1.00 / day of team, $0.10 left, asked $0.50, until +8h
        reserve b team+small $0.60 → refused: too large, $0.50 / day of small, $0.50 left, asked $0.60
        add     x firm     $8.90
        reserve b team+firm $0.50  → refused: exhausted, $1.00 / day of team, $0.10 left, asked $0.50, until +8h
    ",
    );
}

#[test]
fn what_a_call_cost_beyond_its_hold_is_recorded_and_the_next_is_refused() {
    check(
        "
        budget  team       $1.00
        reserve a team     $0.60
        settle  a          $1.50   → $0.90 over
        show    team               → $1.50 spent, $0.50 over
        reserve b team     $0.01   → refused: exhausted, $1.00 / lifetime of team, $0.00 left, asked $0.01
    ",
    );
}

#[test]
fn a_free_call_stands_beside_a_debt_that_others_left() {
    check(
        "
        budget  team       $1.00, 100 tokens / day
        reserve a team     $0.60
        settle  a          $1.50
        reserve b team     50 tokens out 10 → held, cap 10, at critical
        reserve c team     90 tokens → waits: held, 100 tokens / day of team, 40 tokens left, asked 90 tokens
        show    team               → $1.50 spent, $0.50 over; 60 tokens held, 40 tokens left, until +8h
    ",
    );
}

#[test]
fn an_account_named_twice_is_held_once() {
    check(
        "
        budget  team       $1.00
        reserve a team+team $0.60  → held
        show    team               → $0.60 held, $0.40 left
        reserve b team+team $0.40  → held
        settle  a          $0.10
        assume  b
        show    team               → $0.10 spent, $0.40 assumed, $0.50 left
        correct b          $0.20
        add     x team+team $0.05
        show    team               → $0.35 spent, $0.65 left
    ",
    );
}

#[test]
fn a_call_touches_sixteen_accounts_at_most() {
    check("
        budget  team       $1.00
        reserve a team+team+team+team+team+team+team+team+team+team+team+team+team+team+team+team $0.10 → held
        reserve b team+team+team+team+team+team+team+team+team+team+team+team+team+team+team+team+team $0.10 → error: 17 accounts are too many
        reserve c none     $0.10   → error: no such account
    ");
}

#[test]
fn a_release_counts_a_request_only_where_one_was_made() {
    check("
        budget  team       $1.00, 2 requests / day
        reserve a team     $0.60
        release a never-sent
        show    team               → $1.00 left; 2 requests left, until +8h
        reserve b team     $0.60
        release b 429
        show    team               → $1.00 left; 1 request spent, 1 request left, until +8h
        reserve c team     $0.60
        release c 500
        reserve d team     $0.60   → refused: exhausted, 2 requests / day of team, 0 requests left, asked 1 request, until +8h
    ");
}

#[test]
fn a_hold_is_due_from_the_moment_it_ends_and_its_news_still_count() {
    check(
        "
        budget  team       $1.00
        reserve a team     $0.20 lasts 10m
        reserve b team     $0.20 lasts 5m
        wait    299999ms
        due                        → none
        wait    1ms
        due                        → b
        wait    5m
        due                        → a b
        settle  a          $0.10   → $0.10 back
        assume  b                  → done
        due                        → none
        show    team               → $0.10 spent, $0.20 assumed, $0.70 left
    ",
    );
}

#[test]
fn what_did_not_pass_us_is_counted_once() {
    check(
        "
        budget  team       $1.00
        add     x team     $0.40   → added
        add     x team     $0.40   → added
        add     x team     $0.50   → error: contradicts spent
        reserve a team     $0.10
        add     a team     $0.10   → error: contradicts kind
        show    team               → $0.40 spent, $0.10 held, $0.50 left
    ",
    );
}

#[test]
fn a_budget_that_warns_never_refuses_and_says_how_far_it_is_over() {
    check(
        "
        budget  team       $1.00 warn
        reserve a team     $5.00 out 20000 → held, cap 20000
        settle  a          $4.00
        reserve b team     $5.00 low → held, at critical
        show    team               → $4.00 spent, $5.00 held, $8.00 over
    ",
    );
}

#[test]
fn sums_that_cannot_be_counted_are_refused_and_spending_stops_at_the_largest_number() {
    check(
        "
        budget  team       $1.00 / sliding 1h warn
        reserve a team     $18000000000
        reserve b team     $18000000000 → error: uncountable
        settle  a          $18000000000
        wait    10m
        add     x team     $18000000000
        show    team               → $18446744073.709551615 spent, $18446744072.709551615 over
        wait    51m
        show    team               → $18000000000.00 spent, $17999999999.00 over
        wait    10m
        show    team               → $1.00 left
    ",
    );
}

#[test]
fn ten_thousand_tokens_a_day_less_one_thousand_are_nine_thousand() {
    check(
        "
        budget  daily      10k tokens / 24h
        reserve a daily    10000 tokens → held
        release a never-sent
        show    daily              → 10000 tokens left, until +1d
        add     x daily    1000 tokens
        show    daily              → 1000 tokens spent, 9000 tokens left, until +1d
        reserve b daily    9000 tokens → held
        settle  b          9000 tokens
        wait    5h
        reset   daily              → reset
        reserve c daily    9000 tokens → held
        show    daily              → 9000 tokens held, 1000 tokens left, until +1d5h
    ",
    );
}

#[test]
fn each_command_and_task_and_all_of_them_stop_at_a_budget_of_their_own() {
    check("
        budget  each per command 10k tokens / day
        budget  task per task $5.00
        budget  all        15k tokens / sliding 1h
        add     x each:fix+task:one+all 9000 tokens $4.00
        reserve a each:fix+task:two+all 2000 tokens → refused: exhausted, 10k tokens / day of each [command=fix], 1000 tokens left, asked 2000 tokens, until +8h
        reserve b each:doc+task:one+all 2000 tokens $1.50 → refused: exhausted, $5.00 / lifetime of task [task=one], $1.00 left, asked $1.50
        reserve c each:doc+task:two+all 7000 tokens → refused: exhausted, 15k tokens / sliding 1h of all, 6000 tokens left, asked 7000 tokens, until +1h30s
        reserve d each:doc+task:two+all 2000 tokens $1.50 → held
        show    each:fix           → 9000 tokens spent, 1000 tokens left, until +8h
        show    each:doc           → 2000 tokens held, 8000 tokens left, until +8h
    ");
}

//! How much output a call may have: comfortable, a fair share, the floor; and when it would rather wait.

use crate::script::check;

#[test]
fn a_call_gets_what_it_asked_where_that_is_a_fair_share() {
    check(
        "
        budget  team       1M tokens
        reserve a team     1000 tokens out 32000 → held, cap 32000
        reserve b team     1000 tokens out 500   → held, cap 500
    ",
    );
}

#[test]
fn a_call_gets_a_quarter_of_what_is_left_beyond_its_input() {
    check(
        "
        budget  team       101000 tokens
        reserve a team     1000 tokens out 128000 → held, cap 25000
        budget  rich       $4.00
        # 15 dollars a million: a quarter of 3 dollars 70 cents.
        reserve b rich     $0.30 out 128000 at 15 → held, cap 61666
        budget  choosy     $4.00
        reserve c choosy   $0.30 out 128000 at 15 choices 2 → held, cap 30833
    ",
    );
}

#[test]
fn the_smallest_share_of_all_limits_counts_each_in_its_own_meter() {
    check("
        budget  team       $4.00, 61000 tokens / day, 9 requests / day
        budget  firm       50k output_tokens / day
        reserve a team+firm 1000 tokens $0.30 out 128000 at 15 → held, cap 12500
        show    team               → $0.4875 held, $3.5125 left; 13500 tokens held, 47500 tokens left, until +8h; 1 request held, 8 requests left, until +8h
        show    firm               → 12500 output_tokens held, 37500 output_tokens left, until +8h
    ");
}

#[test]
fn a_small_account_gives_the_floor_at_once_where_nobody_else_holds() {
    check("
        budget  team       10k tokens
        reserve a team     1000 tokens out 128000 → held, cap 4096
        reserve b team     1000 tokens out 128000 → waits: held, 10k tokens / lifetime of team, 4904 tokens left, asked 5096 tokens
        reserve c team     1000 tokens out 300    → held, cap 300
    ");
    check(
        "
        budget  team       5096 tokens
        reserve a team     1000 tokens out 128000 → held, cap 4096
    ",
    );
    check("
        budget  team       5095 tokens
        reserve a team     1000 tokens out 128000 → refused: too large, 5095 tokens / lifetime of team, 5095 tokens left, asked 5096 tokens
        reserve b team     1000 tokens out 4000   → held, cap 4000
    ");
}

#[test]
fn below_comfort_a_call_waits_for_others_and_takes_the_floor_at_half_its_time() {
    check("
        budget  team       40k tokens
        reserve a team     12000 tokens → held
        reserve b team     1000 tokens out 32000      → waits: held, 40k tokens / lifetime of team, 28000 tokens left, asked 5096 tokens
        reserve b team     1000 tokens out 32000 half → held, cap 6750
        settle  b          1000 tokens
        settle  a          1000 tokens
        reserve c team     1000 tokens out 32000      → held, cap 9250
    ");
}

#[test]
fn a_call_that_waits_names_the_account_whose_calls_it_waits_for() {
    check("
        budget  quiet      18k tokens
        budget  busy       20k tokens
        reserve a busy     1000 tokens → held
        reserve b quiet+busy 1000 tokens out 32000 → waits: held, 20k tokens / lifetime of busy, 19000 tokens left, asked 5096 tokens
        reserve b quiet+busy 1000 tokens out 32000 half → held, cap 4250
    ");
}

#[test]
fn a_bound_that_is_large_for_what_is_left_is_looked_at_again() {
    check("
        budget  team       10k tokens, 2 requests / day
        reserve a team     900 tokens tightens  → held
        reserve b team     1000 tokens tightens → tighten
        reserve b team     900 tokens tightens  → held
        reserve c team     1 tokens tightens    → waits: held, 2 requests / day of team, 0 requests left, asked 1 request
    ");
}

#[test]
fn what_overflows_every_meter_is_no_call() {
    check(
        "
        budget  team       $1.00 warn
        reserve a team     out 18446744073709551615 choices 2 → error: uncountable
        budget  hard       100 requests
        reserve b hard     out 18446744073709551615 choices 2 at 15 → error: uncountable
    ",
    );
}

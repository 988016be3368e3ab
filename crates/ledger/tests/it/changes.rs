//! Limits that change while calls are in flight, and accounts that come and go.

use crate::script::check;

#[test]
fn a_raised_limit_counts_at_once() {
    check(
        "
        budget  team       $1.00
        reserve a team     $0.90
        reserve b team     $0.50   → waits: held, $1.00 / lifetime of team, $0.10 left, asked $0.50
        budget  team       $2.00
        reserve b team     $0.50   → held
        show    team               → $1.40 held, $0.60 left
    ",
    );
}

#[test]
fn a_limit_lowered_below_what_is_charged_claws_nothing_back_and_admits_nothing() {
    check(
        "
        budget  team       $1.00
        reserve a team     $0.90
        budget  team       $0.50
        show    team               → $0.90 held, $0.40 over
        reserve b team     $0.01   → waits: held, $0.50 / lifetime of team, $0.00 left, asked $0.01
        settle  a          $0.60
        reserve b team     $0.01   → refused: exhausted, $0.50 / lifetime of team, $0.00 left, asked $0.01
        budget  team       $1.00
        reserve b team     $0.40   → held
    ",
    );
}

#[test]
fn a_new_limit_begins_with_the_calls_in_flight() {
    check("
        budget  team       $1.00
        add     x team     $0.30
        reserve a team     $0.40
        budget  team       $1.00, $0.50 / day, $0.50 / sliding 1h
        show    team               → $0.30 spent, $0.40 held, $0.30 left; $0.40 held, $0.10 left, until +8h; $0.40 held, $0.10 left
        reserve b team     $0.20   → waits: held, $0.50 / day of team, $0.10 left, asked $0.20
        settle  a          $0.20
        show    team               → $0.50 spent, $0.50 left; $0.20 spent, $0.30 left, until +8h; $0.20 spent, $0.30 left
    ");
}

#[test]
fn a_second_limit_of_the_same_kind_counts_what_the_first_has_counted() {
    check("
        budget  team       $5.00 / day
        add     x team     $3.00
        reserve a team     $1.00
        budget  team       $10.00 / day, $5.00 / day
        show    team               → $3.00 spent, $1.00 held, $6.00 left, until +8h; $3.00 spent, $1.00 held, $1.00 left, until +8h
        reserve b team     $3.00   → refused: exhausted, $5.00 / day of team, $1.00 left, asked $3.00, until +8h
        budget  team       $5.00 / day
        show    team               → $3.00 spent, $1.00 held, $1.00 left, until +8h
    ");
}

#[test]
fn truth_about_what_was_assumed_before_a_limit_was_made_takes_nothing_from_it() {
    check("
        budget  team       $1.00
        reserve a team     $0.30
        reserve b team     $0.20
        assume  b
        budget  team       $1.00, $0.90 / day, $0.90 / sliding 1h
        assume  a
        show    team               → $0.50 assumed, $0.50 left; $0.30 assumed, $0.60 left, until +8h; $0.30 assumed, $0.60 left
        correct b          $0.05
        show    team               → $0.05 spent, $0.30 assumed, $0.65 left; $0.30 assumed, $0.60 left, until +8h; $0.30 assumed, $0.60 left
        correct a          $0.10
        show    team               → $0.15 spent, $0.85 left; $0.10 spent, $0.80 left, until +8h; $0.10 spent, $0.80 left
    ");
}

#[test]
fn a_budget_that_is_removed_and_set_again_finds_its_past() {
    check(
        "
        budget  team       $1.00
        budget  firm       $9.00
        reserve a team+firm $0.60
        reserve c team+firm $0.10
        remove  team
        show    team               → no such account
        reserve a team+firm $0.60  → error: another accounts
        budget  team       $1.00
        reserve b team     $0.90   → waits: held, $1.00 / lifetime of team, $0.30 left, asked $0.90
        settle  a          $0.50   → $0.10 back
        remove  team
        # What ends while the budget is gone has ended when it is back.
        assume  c
        crash
        budget  team       $1.00
        show    team               → $0.50 spent, $0.10 assumed, $0.40 left
        correct c          $0.05
        show    team               → $0.55 spent, $0.45 left
        show    firm               → $0.55 spent, $8.45 left
    ",
    );
}

#[test]
fn a_limit_that_leaves_counts_on_and_finds_its_past_when_it_comes_back() {
    check(
        "
        budget  team       $1.00 / day, $5.00 / sliding 1h
        add     x team     $0.60
        reserve a team     $0.10
        budget  team       $5.00 / sliding 1h
        settle  a          $0.05
        add     y team     $0.20
        crash
        budget  team       $1.00 / day
        show    team               → $0.85 spent, $0.15 left, until +8h
        budget  team       $9.00
        wait    9h
        budget  team       $1.00 / day, $5.00 / sliding 1h
        show    team               → $1.00 left; $5.00 left
    ",
    );
}

#[test]
fn a_reset_forgets_the_past_of_limits_that_left_too() {
    check(
        "
        budget  team       $1.00
        add     x team     $0.60
        budget  team       $1.00 / month
        reset   team
        budget  team       $1.00
        show    team               → $1.00 left
    ",
    );
}

#[test]
fn a_mode_that_becomes_hard_counts_what_went_before() {
    check(
        "
        budget  team       $1.00 warn
        reserve a team     $3.00
        budget  team       $1.00 stop-new
        reserve b team     $0.10   → waits: held, $1.00 / lifetime of team, $0.00 left, asked $0.10
        settle  a          $0.95
        reserve b team     $0.10   → refused: exhausted, $1.00 / lifetime of team, $0.05 left, asked $0.10
        reserve c team     $0.05   → held, at critical
    ",
    );
}

#[test]
fn only_accounts_that_count_nothing_are_swept() {
    check(
        "
        budget  each per session $1.00 / sliding 1h throttle
        add     x each:spent  $0.90
        reserve a each:held   $0.10
        reserve b each:idle   $0.10
        release b never-sent
        reserve c each:assumed $0.10
        assume  c
        sweep                      → 3 of 4 accounts kept
        show    each:idle          → no such account
        settle  a          $0.10
        wait    61m
        sweep                      → 0 of 3 accounts kept
        levels                     → none to hard, hard to none
        # What comes late finds the account gone, and another one untouched.
        reserve d each:assumed $0.50
        correct c          $0.05   → $0.05 back
        show    each:assumed       → $0.50 held, $0.50 left
    ",
    );
}

#[test]
fn a_swept_account_is_opened_again_under_a_new_number() {
    check(
        "
        budget  each per session $1.00 / day
        add     x each:a   $0.30
        wait    24h
        sweep                      → 0 of 1 accounts kept
        crash
        reserve a each:a   $0.90   → held
        sweep                      → 1 of 1 accounts kept
        show    each:a             → $0.90 held, $0.10 left, until +1d8h
    ",
    );
}

//! Windows of every kind, late truth, and time itself. A table begins on a Monday at 16:00 UTC.

use crate::script::check;

#[test]
fn a_lifetime_never_refills() {
    check(
        "
        budget  team       $1.00 / lifetime
        add     x team     $0.90
        wait    99999h
        reserve a team     $0.20   → refused: exhausted, $1.00 / lifetime of team, $0.10 left, asked $0.20
        show    team               → $0.90 spent, $0.10 left
    ",
    );
}

#[test]
fn a_fixed_span_begins_with_its_first_call() {
    check(
        "
        budget  team       $1.00 / 24h
        wait    5h
        reserve a team     $0.90
        settle  a          $0.90
        reserve b team     $0.20   → refused: exhausted, $1.00 / 1d of team, $0.10 left, asked $0.20, until +1d5h
        wait    23h
        wait    3599999ms
        reserve b team     $0.20   → refused: exhausted, $1.00 / 1d of team, $0.10 left, asked $0.20, until +1d5h
        wait    1ms
        reserve b team     $0.20   → held
        show    team               → $0.20 held, $0.80 left, until +2d5h
    ",
    );
}

#[test]
fn a_call_belongs_to_the_window_that_admitted_it() {
    check("
        budget  team       $1.00 / day, $5.00 / week, $1.00 / sliding 1h
        wait    7h59m
        reserve a team     $0.60
        show    team               → $0.60 held, $0.40 left, until +8h; $0.60 held, $4.40 left, until +6d8h; $0.60 held, $0.40 left
        wait    1m
        show    team               → $1.00 left; $0.60 held, $4.40 left, until +6d8h; $0.60 held, $0.40 left
        reserve b team     $0.50   → waits: held, $1.00 / sliding 1h of team, $0.40 left, asked $0.50
        settle  a          $0.50
        reserve b team     $0.50   → held
        show    team               → $0.50 held, $0.50 left, until +1d8h; $0.50 spent, $0.50 held, $4.00 left, until +6d8h; $0.50 spent, $0.50 held, $0.00 left
    ");
    check(
        "
        budget  team       $1.00 / day
        wait    7h
        reserve a team     $0.60
        reserve z team     $0.10
        wait    2h
        reserve b team     $0.90   → held
        assume  a
        release z 429
        show    team               → $0.90 held, $0.10 left, until +1d8h
        correct a          $0.80
        show    team               → $0.90 held, $0.10 left, until +1d8h
    ",
    );
}

#[test]
fn days_follow_the_zone_and_a_day_that_never_was_is_never_opened() {
    check(
        "
        budget  tokyo      $1.00 / day in Asia/Tokyo
        budget  berlin     $1.00 / month in Europe/Berlin
        budget  kolkata    $1.00 / hour in Asia/Kolkata
        add     x tokyo+berlin+kolkata $1.00
        show    tokyo              → $1.00 spent, $0.00 left, until +23h
        show    berlin             → $1.00 spent, $0.00 left, until +6d7h
        show    kolkata            → $1.00 spent, $0.00 left, until +30m
    ",
    );
    // Apia went from the 29th of December 2011 to the 31st, at 10:00 UTC on the 30th.
    check("
        set     back 121882h
        budget  apia       $1.00 / day in Pacific/Apia
        add     x apia     $1.00
        reserve a apia     $0.10   → refused: exhausted, $1.00 / day in Pacific/Apia of apia, $0.00 left, asked $0.10, until -5078d6h
        wait    4h
        reserve a apia     $0.10   → held
        show    apia               → $0.10 held, $0.90 left, until -5077d6h
    ");
}

#[test]
fn a_sliding_window_counts_the_settling_and_frees_a_slot_later_at_most() {
    check("
        budget  team       $1.00 / sliding 1h
        reserve a team     $0.60
        wait    50m
        show    team               → $0.60 held, $0.40 left
        settle  a          $0.60
        wait    10m
        reserve b team     $0.50   → refused: exhausted, $1.00 / sliding 1h of team, $0.40 left, asked $0.50, until +1h50m30s
        wait    50m
        reserve b team     $0.50   → refused: exhausted, $1.00 / sliding 1h of team, $0.40 left, asked $0.50, until +1h50m30s
        wait    30s
        reserve b team     $0.50   → held
    ");
}

#[test]
fn nobody_is_told_to_come_back_while_a_call_in_flight_still_stands_in_the_way() {
    check("
        budget  team       $1.00 / sliding 1h
        add     x team     $0.60
        wait    30m
        add     y team     $0.30
        reserve a team     $0.10
        reserve b team     $0.20   → refused: exhausted, $1.00 / sliding 1h of team, $0.00 left, asked $0.20, until +1h30s
        # With 10 cents held, 65 fit only when the second sum has slid out too.
        reserve b team     $0.65   → refused: exhausted, $1.00 / sliding 1h of team, $0.00 left, asked $0.65, until +1h30m30s
        # This one fits only when the call in flight is over, and who knows when that is.
        reserve b team     $0.95   → refused: exhausted, $1.00 / sliding 1h of team, $0.00 left, asked $0.95
    ");
}

#[test]
fn nobody_is_told_to_come_back_before_the_level_lets_him_pass() {
    check("
        budget  team       $1.00 / sliding 1h throttle
        add     x team     $0.10
        wait    30m
        add     y team     $0.85
        reserve a team     $0.10   → refused: exhausted, $1.00 / sliding 1h of team, $0.05 left, asked $0.10, until +1h30m30s
        reserve a team     $0.10 critical → refused: exhausted, $1.00 / sliding 1h of team, $0.05 left, asked $0.10, until +1h30s
        wait    30m
        wait    30s
        reserve a team     $0.10   → refused: normal at hard, $1.00 / sliding 1h of team, $0.15 left, asked $0.10, until +1h30m30s
        wait    30m
        reserve a team     $0.10   → held
    ");
    check("
        budget  team       $1.00 / sliding 1h throttle
        budget  firm       $1.00 / day
        add     x team     $0.95
        add     y firm     $0.95
        reserve a team+firm $0.10  → refused: exhausted, $1.00 / day of firm, $0.05 left, asked $0.10, until +8h
        reserve b team+firm $0.01  → refused: normal at critical, $1.00 / sliding 1h of team, $0.05 left, asked $0.01, until +1h30s
    ");
}

#[test]
fn late_truth_replaces_what_was_assumed() {
    check(
        "
        budget  team       $1.00 / day, $1.00 / sliding 1h
        reserve a team     $0.40
        assume  a
        show    team               → $0.40 assumed, $0.60 left, until +8h; $0.40 assumed, $0.60 left
        settle  a          $0.10   → error: assumed
        correct a          $0.10   → $0.30 back
        show    team               → $0.10 spent, $0.90 left, until +8h; $0.10 spent, $0.90 left
        correct a          $0.10   → $0.30 back
        settle  a          $0.10   → $0.30 back
        settle  a          $0.20   → error: contradicts spent
        reserve b team     $0.40
        crash                      → 1 assumed
        correct b          $0.70   → $0.30 over
        show    team               → $0.80 spent, $0.20 left, until +8h; $0.80 spent, $0.20 left
    ",
    );
}

#[test]
fn late_truth_about_another_window_changes_nothing_in_this_one() {
    check(
        "
        budget  team       $1.00 / day, $1.00 / sliding 1h
        reserve a team     $0.40
        assume  a
        wait    9h
        reserve b team     $0.30
        assume  b
        correct a          $0.10
        show    team               → $0.30 assumed, $0.70 left, until +1d8h; $0.30 assumed, $0.70 left
        correct b          $0.20
        show    team               → $0.20 spent, $0.80 left, until +1d8h; $0.20 spent, $0.80 left
    ",
    );
    check(
        "
        budget  team       $1.00 / day, $1.00 / sliding 1h
        reserve a team     $0.40
        assume  a
        wait    9h
        # What nobody knew of enters a sliding window when it is told.
        correct a          $0.90   → $0.50 over
        show    team               → $1.00 left; $0.50 spent, $0.50 left
    ",
    );
}

#[test]
fn late_truth_after_a_reset_brings_only_what_nobody_knew() {
    check("
        budget  team       $1.00 / day, $1.00 / sliding 1h
        reserve a team     $0.40
        reserve b team     $0.20
        reserve c team     $0.20
        assume  a
        assume  b
        reset   team               → reset
        assume  c
        correct a          $0.10
        show    team               → $0.20 assumed, $0.80 left, until +8h; $0.20 assumed, $0.80 left
        correct b          $0.25
        show    team               → $0.05 spent, $0.20 assumed, $0.75 left, until +8h; $0.05 spent, $0.20 assumed, $0.75 left
        correct c          $0.15
        show    team               → $0.20 spent, $0.80 left, until +8h; $0.20 spent, $0.80 left
        reset   other              → no such account
    ");
}

#[test]
fn of_several_corrections_the_last_word_counts() {
    check(
        "
        budget  team       $1.00, $1.00 / sliding 1h
        reserve a team     $0.40
        assume  a
        correct a          $0.60
        show    team               → $0.60 spent, $0.40 left; $0.60 spent, $0.40 left
        wait    30m
        correct a          $0.10   → $0.30 back
        show    team               → $0.10 spent, $0.90 left; $0.10 spent, $0.90 left
        correct a          $0.50
        show    team               → $0.50 spent, $0.50 left; $0.50 spent, $0.50 left
        # In a sliding window what is beyond the hold counts from when it was last told.
        wait    31m
        show    team               → $0.50 spent, $0.50 left; $0.10 spent, $0.90 left
        reset   team
        correct a          $0.20
        show    team               → $1.00 left; $1.00 left
    ",
    );
}

#[test]
fn a_reset_begins_a_fixed_window_anew() {
    check(
        "
        budget  team       $1.00 / 24h, $5.00 / day
        add     x team     $0.60
        wait    5h
        reset   team
        show    team               → $1.00 left; $5.00 left, until +8h
        wait    1h
        reserve a team     $0.40
        show    team               → $0.40 held, $0.60 left, until +1d6h; $0.40 held, $4.60 left, until +8h
        wait    1h
        # With a call in flight it begins at once, and the call ends in it.
        reset   team
        settle  a          $0.30
        show    team               → $0.30 spent, $0.70 left, until +1d7h; $0.30 spent, $4.70 left, until +8h
    ",
    );
}

#[test]
fn a_call_in_flight_cannot_be_corrected() {
    check(
        "
        budget  team       $1.00
        reserve a team     $0.40
        correct a          $0.10   → error: call has nothing assumed to correct
        show    team               → $0.40 held, $0.60 left
        settle  a          $0.10   → $0.30 back
        correct a          $0.20   → error: call has nothing assumed to correct
        correct z          $0.20   → nothing was assumed
    ",
    );
}

#[test]
fn a_correction_can_be_corrected_a_day_later_too() {
    check(
        "
        budget  team       $1.00
        reserve a team     $0.40
        reserve b team     $0.40
        assume  a
        assume  b
        wait    23h
        correct a          $0.10   → $0.30 back
        wait    2h
        reserve c team     $0.10
        settle  c          $0.10
        correct a          $0.20   → $0.20 back
        show    team               → $0.30 spent, $0.40 assumed, $0.30 left
    ",
    );
}

#[test]
fn time_does_not_go_back_behind_a_look_that_closed_a_window() {
    check(
        "
        budget  team       $1.00 / day
        add     x team     $1.00
        wait    8h
        # Too large, so nothing is written; but yesterday is over.
        reserve a team     $2.00   → refused: too large, $1.00 / day of team, $1.00 left, asked $2.00
        set     back 1h
        reserve b team     $1.00   → held
        show    team               → $1.00 held, $0.00 left, until +1d8h
        settle  b          $1.00
        wait    1h
        reserve c team     $1.00   → refused: exhausted, $1.00 / day of team, $0.00 left, asked $1.00, until +1d8h
    ",
    );
}

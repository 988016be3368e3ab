//! Levels: entered at their marks, left five points lower, journaled; what they say to each priority.

use crate::script::check;

#[test]
fn a_level_begins_at_its_mark_and_ends_five_points_lower() {
    check(
        "
        budget  team       $1.00 / sliding 1h
        add     a team     $0.05
        wait    10m
        add     b team     $0.05
        wait    10m
        add     c team     $0.59
        level   team               → none
        wait    10m
        add     d team     $0.01
        level   team               → warning
        add     e team     $0.10
        level   team               → soft
        # A sum of 5 slides out, and then another.
        wait    30m
        wait    30s
        level   team               → soft
        wait    10m
        level   team               → warning
        sweep
        levels                     → none to warning, warning to soft, soft to warning
    ",
    );
}

#[test]
fn a_window_reset_clears_the_level() {
    check(
        "
        budget  team       $1.00 / day
        add     a team     $0.97
        level   team               → critical
        wait    8h
        level   team               → none
        # In the new window 76 cents are a warning, not what is left of a higher level.
        add     b team     $0.76
        level   team               → warning
        levels                     → none to critical, critical to none, none to warning
    ",
    );
}

#[test]
fn what_is_held_is_no_level_and_what_is_assumed_is() {
    check(
        "
        budget  team       $1.00
        reserve a team     $0.90
        level   team               → none
        assume  a
        level   team               → hard
        correct a          $0.10
        level   team               → none
        levels                     → none to hard, hard to none
    ",
    );
}

#[test]
fn each_level_lets_the_urgent_pass() {
    check("
        budget  team       $1.00 / day throttle
        add     a team     $0.70
        reserve b team     $0.01 low    → held, at warning
        release b never-sent
        add     c team     $0.10
        reserve d team     $0.01 low    → waits: low at soft, $1.00 / day of team, $0.20 left, asked $0.01, until +8h
        reserve d team     $0.01 low spent → refused: low at soft, $1.00 / day of team, $0.20 left, asked $0.01, until +8h
        reserve e team     $0.01 normal → held, at soft
        release e never-sent
        add     f team     $0.10
        reserve g team     $0.01 low    → refused: low at hard, $1.00 / day of team, $0.10 left, asked $0.01, until +8h
        reserve g team     $0.01 normal → refused: normal at hard, $1.00 / day of team, $0.10 left, asked $0.01, until +8h
        reserve h team     $0.01 high   → held, at hard
        release h never-sent
        add     i team     $0.05
        reserve j team     $0.01 high   → refused: high at critical, $1.00 / day of team, $0.05 left, asked $0.01, until +8h
        reserve k team     $0.01 critical → held, at critical
        reserve l team     $0.05 critical → waits: held, $1.00 / day of team, $0.04 left, asked $0.05
    ");
}

#[test]
fn only_throttling_looks_at_priority() {
    check(
        "
        budget  team       $1.00 / day stop-new
        add     a team     $0.97
        reserve b team     $0.01 low → held, at critical
        budget  team       $1.00 / day throttle
        reserve c team     $0.01 low → refused: low at critical, $1.00 / day of team, $0.02 left, asked $0.01, until +8h
    ",
    );
}

#[test]
fn a_reset_clears_the_level() {
    check(
        "
        budget  team       $1.00 / day throttle
        add     a team     $0.97
        reset   team
        level   team               → none
        reserve b team     $0.01 low → held
    ",
    );
}

//! The waiting room: priority, then age; smaller calls pass until half the time is over; every wait ends.

use crate::script::check;

#[test]
fn the_urgent_go_first_and_then_the_old() {
    check(
        "
        budget  team       $1.00
        reserve a team     $1.00
        enter   old team   $0.40 low
        wait    1s
        enter   new team   $0.40 low
        enter   urgent team $0.40 high
        wake                       → nobody; again at +30s
        settle  a          $0.10
        wake                       → urgent held; old held; again at +31s
        settle  urgent     $0.10
        wake                       → new held
    ",
    );
}

#[test]
fn a_smaller_call_passes_a_larger_until_that_has_waited_half_its_time() {
    check(
        "
        budget  team       $1.00
        budget  other      $1.00
        reserve a team     $0.60
        enter   large team $0.90 for 60s
        enter   small team $0.20 for 60s
        wake                       → small held; again at +30s
        keeps out x team   $0.10   → no
        wait    29999ms
        keeps out x team   $0.10   → no
        wait    1ms
        keeps out x team   $0.10   → yes
        keeps out x other  $0.10   → no
        keeps out x team   $0.10 high → no
        keeps out x team   $0.10 low  → yes
        enter   tiny team  $0.01 for 60s
        enter   elsewhere other $0.50 for 60s
        wake                       → elsewhere held; again at +1m
        settle  small      $0.01
        settle  a          $0.01
        wake                       → large held; tiny held
    ",
    );
}

#[test]
fn a_deadline_ends_in_a_refusal() {
    check(
        "
        budget  team       $1.00
        reserve a team     $0.60
        enter   b team     $0.50 for 10s
        wait    5s
        wake                       → nobody; again at +10s
        wait    4999ms
        wake                       → nobody; again at +10s
        wait    1ms
        wake                       → b refused, held
    ",
    );
}

#[test]
fn at_half_its_time_a_call_takes_the_floor() {
    check(
        "
        budget  team       40k tokens
        reserve a team     12000 tokens
        enter   b team     1000 tokens out 32000 for 10s
        wake                       → nobody; again at +5s
        wait    5s
        wake                       → b held
        show    team               → 19750 tokens held, 20250 tokens left
    ",
    );
}

#[test]
fn a_full_room_takes_nobody() {
    check(
        "
        room    1
        budget  team       $1.00
        reserve a team     $0.60
        enter   b team     $0.50   → 1 wait
        enter   c team     $0.50   → c: 1 calls are waiting already, which is as many as may; try again in a moment
    ",
    );
}

#[test]
fn who_can_never_fit_does_not_wait() {
    check(
        "
        budget  team       $1.00
        reserve a team     $0.60
        enter   b team     $0.50
        add     x team     $0.55
        wake                       → b refused, exhausted
    ",
    );
}

#[test]
fn an_account_that_a_waiting_call_needs_is_not_swept() {
    check(
        "
        budget  team       $1.00
        budget  idle       $1.00
        reserve a team     $0.60
        enter   b team+idle $0.50
        sweep                      → 2 of 2 accounts kept
        settle  a          $0.10
        wake                       → b held
        settle  b          $0.10
    ",
    );
}

#[test]
fn who_waits_for_a_level_to_fall_keeps_nobody_out() {
    check(
        "
        budget  team       $1.00 / sliding 1h throttle
        budget  firm       $9.00
        add     x team     $0.85
        enter   slow team+firm $0.01 low for 10s
        wait    5s
        wake                       → nobody; again at +10s
        keeps out a firm   $0.10 low → no
        enter   b firm     $0.10 low for 10s
        wake                       → b held; again at +10s
        wait    5s
        wake                       → slow refused, low at soft
    ",
    );
}

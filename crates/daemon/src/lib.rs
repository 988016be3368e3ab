//! The rim: real clocks, dice, sockets and stores, joined.

//! What a call can cost at most and which accounts it touches: price book, bounds, levels.

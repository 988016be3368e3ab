//! Provider bytes and agent output in, usage out.

//! Files, environment and flags in; one validated Settings of plain values out.

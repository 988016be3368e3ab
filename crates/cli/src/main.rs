//! The binary `almoner`.
fn main() {}

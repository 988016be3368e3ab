//! The HTTP gateway: label, bound, reserve, forward, meter, settle.

pub mod answer;
pub mod body;
pub mod dialect;
pub mod route;

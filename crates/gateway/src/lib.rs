//! The HTTP gateway: label, bound, reserve, forward, meter, settle.

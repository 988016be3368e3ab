//! The control interface: operations and wire types.

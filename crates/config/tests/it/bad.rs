//! What is wrong is said with its place.

//! The false world for tests: providers that keep the truth, clients, check tables.

//! `dashboard-sidecar`: see the library for the tour.
fn main() {}

//! Which tokens are taken, and who may do what; expectations are written out, not computed.

mod forge;
mod policy;
mod tokens;

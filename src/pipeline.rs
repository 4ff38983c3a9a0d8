//! From a TOML file to pictures: the description, its graph, sources, passes, sinks, and the runner that overlaps them.
//!
//! In: a [`Description`]. Out: files, and a [`Report`] of what was done and how.
//! Not here: what the layers below know (buffers, GL, colour), how a person is told (the command line).

pub mod board_limits;
pub mod description;
pub mod expression;
pub mod faults;
pub mod frames;
pub mod graph;
pub mod identity;
pub mod manifest;
pub mod merge;
#[cfg(feature = "mesh")]
pub mod model;
#[cfg(not(feature = "mesh"))]
#[path = "pipeline/model/absent.rs"]
pub mod model;
pub mod parameters;
pub mod pass;
pub mod plan;
#[cfg(feature = "schema")]
pub mod reference;
pub mod report;
pub mod resume;
pub mod runner;
pub mod shader;
pub mod shard;
pub mod sink;
pub mod source;

pub use description::Description;
pub use graph::Graph;
pub use report::Report;

//! Development only: one battery of tests for every store, scenarios in text, a seeded
//! simulation, and the traffic of a year. Nothing here is part of the program.

pub mod battery;
mod dice;
pub mod sample;
pub mod scenario;
pub mod simulation;
pub mod year;

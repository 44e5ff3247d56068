//! Algorithms beside brute force, on small graphs of many shapes, seen as one part and as several.

mod model;
mod graphalytics;
mod building;
mod searches;
mod components;
mod ranks;
mod walking;
mod distances;
mod communities;
mod orders;
mod stopping;

use model::{Model, each_view, never, shapes};

//! A report printed: for people as aligned tables or as a page, for programs as JSON or CSV. The same
//! tables stand behind all of them.

mod csv;
mod html;
mod json;
mod picture;
mod text;

pub use csv::to_csv;
pub use html::to_html;
pub use json::to_json;
pub use text::to_text;

//! Settings come from the environment; `get` reads one.

/// A setting that is given; an empty one is not.
pub fn given(get: &impl Fn(&str) -> Option<String>, name: &str) -> Option<String> {
    get(name).filter(|value| !value.trim().is_empty())
}

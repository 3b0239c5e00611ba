//! What handlers take out of a request. Reads, and does no I/O but for the request's own body.

pub(crate) mod address;
pub(crate) mod body;
pub mod credential;
pub(crate) mod parameters;

/// What serde says of a request, of which it repeats no more than 60 characters: it quotes the whole name of a field that it
/// does not know, and nothing else.
fn describe(error: &impl ToString) -> String {
    let message = error.to_string();
    match message.strip_prefix("unknown field `").and_then(|rest| rest.rsplit_once("`, expected")) {
        Some((name, known)) => format!("unknown field `{name:.60}`, expected{known}"),
        None => message,
    }
}

//! A Slack token is shown as its mask, and the mask given back stands for the token that is kept.

use destinations::Destination;
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::answers::{ApiError, ApiResult};
use crate::auth::Tenant;
use crate::requests::wrong;

const ASTERISKS: &str = "************";

/// How many of its last characters are shown.
const SHOWN: usize = 4;

/// A token with fewer characters shows none of them.
const LONG_ENOUGH: usize = 16;

/// `************` and the token's last four characters.
pub(super) fn mask(token: &str) -> String {
    let length = token.chars().count();
    let shown = if length < LONG_ENOUGH { 0 } else { SHOWN };
    ASTERISKS.chars().chain(token.chars().skip(length - shown)).collect()
}

/// Whether a text says nothing but what a mask says.
fn is_like_a_mask(text: &str) -> bool {
    let rest = text.trim_start_matches('*');
    rest.len() < text.len() && rest.chars().count() <= SHOWN
}

/// A new alert config has no token that could be kept.
pub(super) fn never_a_mask(destination: &Destination) -> ApiResult<()> {
    match destination {
        Destination::Slack { token, .. } if is_like_a_mask(token) => Err(mask_of_another()),
        _ => Ok(()),
    }
}

/// The destination, with the token that the alert config has where its mask is given.
pub(super) async fn with_kept_token(
    client: &impl GenericClient,
    tenant: &Tenant,
    alert_config_id: Uuid,
    destination: Destination,
) -> ApiResult<Destination> {
    let (channel, given) = match destination {
        Destination::Slack { channel, token } if is_like_a_mask(&token) => (channel, token),
        other => return Ok(other),
    };
    let rows = client
        .query_typed(
            "select slack_token from alert_config where alert_config_id = $1 and tenant = $2 for no key update",
            &[(&alert_config_id, Type::UUID), (&tenant.0, Type::TEXT)],
        )
        .await?;
    let row = rows.first().ok_or_else(|| ApiError::no_alert_configs(&[alert_config_id]))?;
    let kept: Option<String> = row.try_get("slack_token")?;
    match kept {
        Some(token) if mask(&token) == given => Ok(Destination::Slack { channel, token }),
        _ => Err(mask_of_another()),
    }
}

fn mask_of_another() -> ApiError {
    wrong("type", &"the token is the mask of another token; give the token itself")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_shows_four_characters_of_a_long_token_and_none_of_a_short_one() {
        assert_eq!(mask("xoxb-1234567890-abcdefgh"), "************efgh");
        assert_eq!(mask("0123456789abcdef"), "************cdef");
        assert_eq!(mask("0123456789abcde"), "************");
        assert_eq!(mask(""), "************");
    }

    #[test]
    fn asterisks_and_up_to_four_characters_are_like_a_mask() {
        for text in ["*", "************", "************efgh", "*a", "****************abcd"] {
            assert!(is_like_a_mask(text), "{text}");
        }
        for text in ["", "abcd", "************abcde", "xoxb-****", "a*"] {
            assert!(!is_like_a_mask(text), "{text}");
        }
    }
}

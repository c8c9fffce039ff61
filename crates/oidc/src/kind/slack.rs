//! Slack, which speaks OpenID Connect. The group is the workspace in which somebody signed in.
//!
//! Source: Slack API, "Sign in with Slack".

use super::{KindSettings, Preset};
use crate::client_auth::SecretMethod;

const WORKSPACE: &str = "https://slack.com/team_id";

pub(super) fn preset(settings: &KindSettings) -> Preset {
    let mut preset = Preset {
        secret_method: Some(SecretMethod::Post),
        groups_claim: WORKSPACE.to_owned(),
        open_to_the_world: settings.workspaces.is_empty(),
        ..Preset::oidc(settings.base("https://slack.com"))
    };
    preset.needs("workspace", WORKSPACE, &settings.workspaces);
    preset
}

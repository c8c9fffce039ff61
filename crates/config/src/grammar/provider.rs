//! The keys of `[providers.NAME]` and of what is inside.

use lychgate_oidc::kind::Kind as ProviderKind;

use super::{Kind, kind};

/// The keys that stand for what a provider's metadata says.
pub(crate) const ENDPOINTS: &[&str] = &[
    "authorization_endpoint",
    "token_endpoint",
    "userinfo_endpoint",
    "jwks_uri",
    "end_session_endpoint",
    "introspection_endpoint",
    "revocation_endpoint",
    "pushed_authorization_request_endpoint",
];

/// Whether a provider of this kind may have this key of [`PROVIDER`].
pub(crate) fn belongs_to(key: &str, kind: ProviderKind) -> bool {
    match (ENDPOINTS.contains(&key), kind) {
        (true, ProviderKind::OAuth2) => !["jwks_uri", "end_session_endpoint"].contains(&key),
        (true, _) => kind.keys().contains(&"issuer"),
        (false, _) => {
            kind.keys().contains(&key)
                || !ProviderKind::ALL.iter().any(|kind| kind.keys().contains(&key))
        }
    }
}

pub(crate) static PROVIDER: Kind = Kind {
    name: "providers.*",
    keys: &[
        "kind",
        "profile",
        "issuer",
        "client_id",
        "client_secret",
        "scopes",
        "label",
        "redirect_uri",
        "token_endpoint_auth_method",
        "id_token_signed_response_alg",
        "authorization_endpoint",
        "token_endpoint",
        "userinfo_endpoint",
        "jwks_uri",
        "end_session_endpoint",
        "introspection_endpoint",
        "revocation_endpoint",
        "claims",
        "danger_assume_email_verified",
        "userinfo",
        "clock_tolerance",
        "token_endpoint_auth_signing_alg",
        "danger_secret_in_query",
        "client_assertion",
        "client_assertion_audience",
        "client_assertion_lifetime",
        "signing_key",
        "signing_key_id",
        "signing_certificate",
        "tls",
        "mtls_endpoint_aliases",
        "tls_client_certificate_bound_access_tokens",
        "proxy",
        "dpop_bound_access_tokens",
        "dpop_signing_alg",
        "dpop_signing_key",
        "dpop_jkt",
        "token_request_omits",
        "pushed_authorization_requests",
        "pushed_authorization_request_endpoint",
        "request_object_signing_alg",
        "request_object_audience",
        "request_object_lifetime",
        "request_object_typ",
        "request_object_encryption_alg",
        "request_object_encryption_enc",
        "authorization_request_repeats",
        "code_challenge_method",
        "nonce",
        "prompt",
        "max_age",
        "acr_values",
        "ui_locales",
        "claims_request",
        "authorization_params",
        "authorization_params_from_login",
        "resource",
        "authorization_details",
        "response_type",
        "response_mode",
        "authorization_response_iss_parameter",
        "authorization_signed_response_alg",
        "authorization_encrypted_response_alg",
        "authorization_encrypted_response_enc",
        "id_token",
        "id_token_encrypted_response_alg",
        "id_token_encrypted_response_enc",
        "required_acr_values",
        "userinfo_signed_response_alg",
        "userinfo_encrypted_response_alg",
        "userinfo_encrypted_response_enc",
        "decryption_keys",
        "subject",
        "consent_statuses",
        "login_timeout",
        "silent_login",
        "fapi_interaction_id",
        "email_domains",
        "errors",
        "base_url",
        "tenant",
        "tenants",
        "groups_from",
        "group_names",
        "hosted_domain",
        "groups",
        "organizations",
        "teams",
        "repositories",
        "users",
        "projects",
        "workspaces",
        "workspace",
        "guilds",
        "team_id",
        "lookups",
        "memberships",
    ],
    synonyms: &[
        ("oidc_issuer_url", "issuer"),
        ("issuer_url", "issuer"),
        ("idp_provider_url", "issuer"),
        ("discovery_url", "issuer"),
        ("authority", "issuer"),
        ("app_id", "client_id"),
        ("idp_client_id", "client_id"),
        ("client_secret_file", "client_secret"),
        ("scope", "scopes"),
        ("oidc_extra_scopes", "scopes"),
        ("redirect_url", "redirect_uri"),
        ("callback_url", "redirect_uri"),
        ("reply_url", "redirect_uri"),
        ("login_url", "authorization_endpoint"),
        ("redeem_url", "token_endpoint"),
        ("profile_url", "userinfo_endpoint"),
        ("jwks_url", "jwks_uri"),
        ("oidc_jwks_url", "jwks_uri"),
        ("backend_logout_url", "end_session_endpoint"),
        ("introspection_url", "introspection_endpoint"),
        ("introspect_url", "introspection_endpoint"),
        ("revocation_url", "revocation_endpoint"),
        ("user_id_claim", "claims"),
        ("oidc_groups_claim", "claims"),
        ("oidc_email_claim", "claims"),
        ("email_attribute", "claims"),
        ("insecure_oidc_allow_unverified_email", "danger_assume_email_verified"),
        ("provider", "kind"),
        ("type", "kind"),
        ("display_name", "label"),
        ("acr_value", "acr_values"),
        ("approval_prompt", "prompt"),
        ("auth_method", "token_endpoint_auth_method"),
        ("client_auth_method", "token_endpoint_auth_method"),
        ("client_assertion_file", "client_assertion"),
        ("client_certificate", "tls"),
        ("dpop", "dpop_bound_access_tokens"),
        ("extra_authorize_params", "authorization_params"),
        ("auth_request_extra_params", "authorization_params"),
        ("login_url_parameters", "authorization_params_from_login"),
        ("http_proxy", "proxy"),
        ("https_proxy", "proxy"),
        ("jar", "request_object_signing_alg"),
        ("jwt_key", "signing_key"),
        ("jwt_key_file", "signing_key"),
        ("private_key", "signing_key"),
        ("key_id", "signing_key_id"),
        ("kid", "signing_key_id"),
        ("par", "pushed_authorization_requests"),
        ("use_par", "pushed_authorization_requests"),
        ("pkce", "code_challenge_method"),
        ("use_pkce", "code_challenge_method"),
        ("pkce_challenge_method", "code_challenge_method"),
        ("provider_ca_file", "tls"),
        ("provider_ca_files", "tls"),
        ("root_ca", "tls"),
        ("rar", "authorization_details"),
        ("request_object", "request_object_signing_alg"),
        ("resources", "resource"),
        ("oidc_resource", "resource"),
        ("insecure_oidc_skip_nonce", "nonce"),
        ("azure_tenant", "tenant"),
        ("tenant_id", "tenant"),
        ("allowed_tenants", "tenants"),
        ("hd", "hosted_domain"),
        ("google_groups", "groups"),
        ("github_org", "organizations"),
        ("orgs", "organizations"),
        ("github_team", "teams"),
        ("github_repo", "repositories"),
        ("github_users", "users"),
        ("gitlab_projects", "projects"),
        ("allowed_groups", "groups"),
    ],
};

pub(crate) static PROVIDER_TLS: Kind = Kind {
    name: "providers.*.tls",
    keys: &["certificate", "key", "ca"],
    synonyms: &[("cert", "certificate"), ("ca_file", "ca"), ("key_file", "key")],
};

pub(crate) static PROVIDER_ASSERTION: Kind = kind("providers.*.client_assertion", &["file"]);

pub(crate) static PROVIDER_CERTIFICATE: Kind = kind("providers.*.signing_certificate", &["file"]);

pub(crate) static PROVIDER_CLAIMS: Kind = Kind {
    name: "providers.*.claims",
    keys: &["user", "name", "email", "groups", "subject"],
    synonyms: &[("username", "user"), ("roles", "groups"), ("sub", "subject")],
};

pub(crate) static PROVIDER_ERRORS: Kind =
    kind("providers.*.errors", &["retryable", "uri_hosts", "without_state"]);

/// Google's directory.
pub(crate) static PROVIDER_GROUPS: Kind = Kind {
    name: "providers.*.groups",
    keys: &["service_account", "admin", "members_of"],
    synonyms: &[("admin_email", "admin"), ("service_account_json", "service_account")],
};

pub(crate) static LOOKUP: Kind = Kind {
    name: "providers.*.lookups[*]",
    keys: &[
        "name",
        "url",
        "method",
        "headers",
        "body",
        "token_scheme",
        "danger_token_in_query",
        "paging",
        "reads",
        "when",
        "expect_status",
        "required",
    ],
    synonyms: &[("claims", "reads"), ("expected_status", "expect_status")],
};

pub(crate) static LOOKUP_PAGING: Kind =
    kind("providers.*.lookups[*].paging", &["next_url", "token", "parameter", "page"]);

pub(crate) static LOOKUP_READ: Kind =
    kind("providers.*.lookups[*].reads.*", &["each", "value", "only", "first"]);

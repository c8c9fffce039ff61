//! Kinds of providers: what is known of a vendor, so that an operator writes three or four keys.
//!
//! A [`Preset`] is data: an issuer or endpoints, scopes, the names of claims, what is asked beyond the
//! standards, who may enter, and [quirks](crate::Quirk). Each kind is a file of its own, made of what the
//! operator wrote, the [`KindSettings`]. Every kind can be led to another address with `base_url`: an
//! instance of one's own, or another cloud of the same vendor.
//!
//! Sources: each vendor's own documentation, named in the file of its kind.

mod adfs;
mod apple;
mod auth0;
mod bitbucket;
mod cidaas;
mod cognito;
mod digitalocean;
mod discord;
mod entra;
mod facebook;
mod gitea;
mod github;
mod gitlab;
pub mod google;
mod keycloak;
mod linkedin;
mod login_gov;
mod nextcloud;
mod oauth2;
mod oidc;
mod okta;
mod slack;
mod sourcehut;

use std::str::FromStr;

use serde_json::{Map, Value};

use crate::client_auth::{AssertionAudience, SecretMethod, SignedSecret};
use crate::discovery::{DiscoveryError, Metadata};
use crate::lookup::{Condition, Lookup, Read};
use crate::manner::Manner;
use crate::membership::Membership;
use crate::provider::{Algorithm, UnknownName, Userinfo};
use crate::quirk::Quirk;
use crate::response::ResponseMode;
use crate::service_account::ServiceAccount;

/// Declares the kinds once: the name, the keys that it has beyond those of every kind, and which of these
/// must be there.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal in $module:ident: [$($key:literal),*] needs [$($needed:literal),*];)+) => {
        /// A vendor, or a protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$doc])* $kind,)+
        }

        impl Kind {
            /// Every kind, in the order of their names.
            pub const ALL: &[Self] = &[$(Self::$kind,)+];

            /// The operator's word for it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $name,)+ }
            }

            /// The keys of a provider that this kind has and others may not.
            #[must_use]
            pub const fn keys(self) -> &'static [&'static str] {
                match self { $(Self::$kind => &[$($key),*],)+ }
            }

            /// Those of its keys that must be there.
            #[must_use]
            pub const fn needs(self) -> &'static [&'static str] {
                match self { $(Self::$kind => &[$($needed),*],)+ }
            }

            /// What is known of a provider of this kind.
            #[must_use]
            pub fn preset(self, settings: &KindSettings) -> Preset {
                match self { $(Self::$kind => $module::preset(settings),)+ }
            }
        }
    };
}

kinds! {
    /// Active Directory Federation Services.
    Adfs = "adfs" in adfs: ["issuer"] needs ["issuer"];
    /// Sign in with Apple.
    Apple = "apple" in apple: ["base_url", "team_id"] needs ["team_id", "signing_key", "signing_key_id"];
    /// Auth0.
    Auth0 = "auth0" in auth0: ["issuer"] needs ["issuer"];
    /// Bitbucket Cloud.
    Bitbucket = "bitbucket" in bitbucket: ["base_url", "workspaces", "repositories", "users"] needs [];
    /// cidaas.
    Cidaas = "cidaas" in cidaas: ["issuer"] needs ["issuer"];
    /// Amazon Cognito.
    Cognito = "cognito" in cognito: ["issuer"] needs ["issuer"];
    /// DigitalOcean.
    Digitalocean = "digitalocean" in digitalocean: ["base_url"] needs [];
    /// Discord.
    Discord = "discord" in discord: ["base_url", "guilds", "users"] needs [];
    /// Microsoft Entra ID.
    Entra = "entra" in entra: ["base_url", "tenant", "tenants", "groups_from", "group_names"] needs ["tenant"];
    /// Facebook.
    Facebook = "facebook" in facebook: ["base_url"] needs [];
    /// Forgejo.
    Forgejo = "forgejo" in gitea: ["base_url", "organizations", "teams", "repositories", "users"] needs ["base_url"];
    /// Gitea.
    Gitea = "gitea" in gitea: ["base_url", "organizations", "teams", "repositories", "users"] needs ["base_url"];
    /// GitHub, and GitHub Enterprise Server.
    Github = "github" in github: ["base_url", "organizations", "teams", "repositories", "users"] needs [];
    /// GitLab, theirs or one's own.
    Gitlab = "gitlab" in gitlab: ["base_url", "groups", "projects"] needs [];
    /// Google, and Google Workspace.
    Google = "google" in google: ["base_url", "hosted_domain", "groups"] needs [];
    /// Keycloak.
    Keycloak = "keycloak" in keycloak: ["issuer"] needs ["issuer"];
    /// LinkedIn.
    Linkedin = "linkedin" in linkedin: ["base_url"] needs [];
    /// login.gov.
    LoginGov = "login_gov" in login_gov: ["base_url"] needs [];
    /// Nextcloud.
    Nextcloud = "nextcloud" in nextcloud: ["base_url", "groups", "users"] needs ["base_url"];
    /// Anything that speaks OAuth 2.0 and has questions to be asked.
    OAuth2 = "oauth2" in oauth2: ["issuer", "lookups", "memberships"]
        needs ["authorization_endpoint", "token_endpoint"];
    /// Any provider of OpenID Connect.
    Oidc = "oidc" in oidc: ["issuer", "lookups", "memberships"] needs ["issuer"];
    /// Okta.
    Okta = "okta" in okta: ["issuer"] needs ["issuer"];
    /// Slack.
    Slack = "slack" in slack: ["base_url", "workspace"] needs [];
    /// SourceHut.
    Sourcehut = "sourcehut" in sourcehut: ["base_url", "users"] needs [];
}

impl FromStr for Kind {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name).ok_or(UnknownName)
    }
}

/// What the operator wrote of a kind's own keys. Addresses have no slash at their end.
#[derive(Clone, Debug, Default)]
pub struct KindSettings {
    /// Where everything of this provider is, if not at the vendor's own addresses.
    pub base_url: Option<String>,
    /// The issuer, as written.
    pub issuer: String,
    /// Directories, as in Entra's addresses.
    pub tenant: String,
    /// Which tenants are believed where `tenant` stands for many.
    pub tenants: Vec<String>,
    /// Which hosted domains may enter.
    pub hosted_domain: Vec<String>,
    /// Google's directory.
    pub directory: Option<Directory>,
    /// Where Entra's groups come from.
    pub groups_from: GroupsFrom,
    /// What Entra's groups are called.
    pub group_names: GroupNames,
    /// Which organizations may enter.
    pub organizations: Vec<String>,
    /// Which teams may enter: `organization/team`.
    pub teams: Vec<String>,
    /// Which repositories' people may enter: `owner/name`.
    pub repositories: Vec<String>,
    /// Who may enter whatever the other lists say, by login name.
    pub users: Vec<String>,
    /// Which groups may enter.
    pub groups: Vec<String>,
    /// Which projects' people may enter, and with which level of access.
    pub projects: Vec<(String, u64)>,
    /// Which workspaces may enter.
    pub workspaces: Vec<String>,
    /// Which guilds may enter.
    pub guilds: Vec<String>,
    /// Which questions are asked.
    pub lookups: Vec<Lookup>,
    /// Which claims must have one of some values.
    pub memberships: Vec<(String, Vec<String>)>,
    /// The endpoints that were written down.
    pub authorization_endpoint: String,
    /// As above.
    pub token_endpoint: String,
    /// As above, if there is one.
    pub userinfo_endpoint: Option<String>,
    /// As above, if there is one.
    pub pushed_authorization_request_endpoint: Option<String>,
    /// As above, if there is one.
    pub introspection_endpoint: Option<String>,
    /// As above, if there is one.
    pub revocation_endpoint: Option<String>,
    /// Whose developers we are, at Apple.
    pub team_id: String,
}

/// Google's directory, and who is looked for in it.
#[derive(Clone, Debug)]
pub struct Directory {
    /// Who asks; nobody where secrets are not looked at.
    pub service_account: Option<ServiceAccount>,
    /// Only these groups are asked about, and one of them is needed; empty for all of a person's.
    pub members_of: Vec<String>,
}

/// Where Entra's groups come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupsFrom {
    /// From the token, and from Graph when the token says that they are too many.
    #[default]
    Auto,
    /// From Graph.
    Graph,
    /// From the token alone.
    Token,
}

/// What Entra's groups are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupNames {
    /// By their identifiers.
    #[default]
    Ids,
    /// By their display names, which more than one group can have.
    Names,
    /// By the account name that they have in the directory on the premises.
    OnPremises,
}

/// What is known of a provider.
#[derive(Clone, Debug)]
pub struct Preset {
    /// Who a person's identity is of.
    pub issuer: String,
    /// The endpoints, where no metadata says them.
    pub endpoints: Option<Endpoints>,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// Whether there is an ID token.
    pub id_token: bool,
    /// How a secret is sent, where metadata does not say it rightly.
    pub secret_method: Option<SecretMethod>,
    /// Of what a secret is made that we sign ourselves, where that is how a vendor knows us.
    pub signed_secret: Option<SignedSecret>,
    /// Whom our signed statements are for.
    pub assertion_audience: AssertionAudience,
    /// What they are signed with, where only one algorithm is accepted.
    pub assertion_algorithm: Option<Algorithm>,
    /// How the answer comes back.
    pub response_mode: ResponseMode,
    /// How sure to be of somebody, where something has to be asked for.
    pub acr_values: Vec<String>,
    /// Parameters that the authorization request needs beside those of the protocol.
    pub authorization_params: Vec<(String, String)>,
    /// When userinfo has to be asked, whatever is read of a person.
    pub userinfo: Option<Userinfo>,
    /// The claim with the groups.
    pub groups_claim: String,
    /// Whether anybody on the internet can have an account that enters.
    pub open_to_the_world: bool,
    /// What is peculiar to it.
    pub manner: Manner,
}

/// Endpoints that are known beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// Where a browser is sent to sign in.
    pub authorization: String,
    /// Where a code is traded for a token.
    pub token: String,
    /// Where claims are, if anywhere.
    pub userinfo: Option<String>,
    /// Where authorization requests are pushed to, if anywhere.
    pub pushed_authorization_request: Option<String>,
    /// Where it is asked what a token is worth, if anywhere.
    pub introspection: Option<String>,
    /// Where a grant is given back, if anywhere.
    pub revocation: Option<String>,
}

impl Preset {
    /// A provider of OpenID Connect that is like every other.
    fn oidc(issuer: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            endpoints: None,
            scopes: texts(&["openid", "profile", "email"]),
            id_token: true,
            secret_method: None,
            signed_secret: None,
            assertion_audience: AssertionAudience::Issuer,
            assertion_algorithm: None,
            response_mode: ResponseMode::Query,
            acr_values: Vec::new(),
            authorization_params: Vec::new(),
            userinfo: None,
            groups_claim: "groups".to_owned(),
            open_to_the_world: false,
            manner: Manner::default(),
        }
    }

    /// A provider that gives an access token and nothing else.
    fn oauth2(issuer: &str, authorization: String, token: String, scopes: &[&str]) -> Self {
        Self {
            endpoints: Some(Endpoints {
                authorization,
                token,
                userinfo: None,
                pushed_authorization_request: None,
                introspection: None,
                revocation: None,
            }),
            scopes: texts(scopes),
            id_token: false,
            secret_method: Some(SecretMethod::Post),
            manner: Manner { quirks: vec![Quirk::VendorTokenAnswer], ..Manner::default() },
            ..Self::oidc(issuer)
        }
    }

    /// The metadata that a provider without metadata would publish.
    ///
    /// # Errors
    /// When the endpoints cannot be used; `None` where they are discovered.
    pub fn metadata(&self) -> Option<Result<Metadata, DiscoveryError>> {
        let endpoints = self.endpoints.as_ref()?;
        let mut document = Map::new();
        let mut add = |name: &str, value: &str| {
            document.insert(name.to_owned(), Value::String(value.to_owned()));
        };
        add("issuer", &self.issuer);
        add("authorization_endpoint", &endpoints.authorization);
        add("token_endpoint", &endpoints.token);
        for (name, endpoint) in [
            ("userinfo_endpoint", &endpoints.userinfo),
            ("pushed_authorization_request_endpoint", &endpoints.pushed_authorization_request),
            ("introspection_endpoint", &endpoints.introspection),
            ("revocation_endpoint", &endpoints.revocation),
        ] {
            if let Some(endpoint) = endpoint {
                add(name, endpoint);
            }
        }
        Some(Metadata::parse(Value::Object(document).to_string().as_bytes(), &self.issuer))
    }

    /// Needs one of `any_of`, if any is named, letter by letter but for capitals.
    fn needs(&mut self, name: &str, claim: &str, any_of: &[String]) {
        if !any_of.is_empty() {
            let membership = Membership::of(name, claim, any_of);
            self.manner.memberships.push(Membership { ignore_case: true, ..membership });
        }
    }

    /// Whoever is named enters, whatever else is needed.
    fn admits(&mut self, claim: &str, users: &[String]) {
        if !users.is_empty() {
            let membership = Membership::of("users", claim, users);
            let membership = Membership { ignore_case: true, suffices: true, ..membership };
            self.manner.memberships.push(membership);
        }
    }
}

impl KindSettings {
    /// The address of the whole provider, or the vendor's own.
    fn base<'a>(&'a self, vendors: &'a str) -> &'a str {
        self.base_url.as_deref().unwrap_or(vendors)
    }

    fn is_vendors_own(&self) -> bool {
        self.base_url.is_none()
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

/// A text as one segment or value of an address. Braces are encoded, too, so nothing of it is filled in.
fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, crate::client_auth::RESERVED).to_string()
}

/// Whoever can push to a repository is one of its people, and of a private one whoever can read it.
fn repository_reads(repository: &str) -> Vec<Read> {
    let can_push = [Condition::is("permissions.push", true)];
    let can_read = [Condition::is("private", true), Condition::is("permissions.pull", true)];
    vec![
        Read::fact("repositories", repository, &can_push),
        Read::fact("repositories", repository, &can_read),
    ]
}

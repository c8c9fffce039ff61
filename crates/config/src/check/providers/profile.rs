//! `profile`: the published security profiles, each a promise about all the other keys at once.
//!
//! A profile does two things. Whatever the operator left open becomes what the profile demands, and whatever
//! they wrote that the profile forbids is refused, where it stands and with what to write instead: a provider
//! that is called strict and is not would be worse than one that was never called so.
//!
//! Sources: FAPI 2.0 Security Profile; FAPI 2.0 Message Signing; FAPI 1.0 Part 2
//! (Advanced); Open Finance Brasil Financial-grade API Security Profile (confidential client).

use lychgate_oidc::{
    Algorithm, AssertionAudience, ClientAuth, ContentEncryption, Encryption, IssuerParameter,
    KeyManagement, MtlsEndpointAliases, Provider, Pushing, RequestObject, RequestObjectEncryption,
    RequestObjectSigner, ResponseMode, ResponseType,
};
use serde_json::{Value as Json, json};

use crate::code::Code;
use crate::file::Place;
use crate::grammar::ENDPOINTS;
use crate::problem::Problem;
use crate::reader::Reader;
use crate::secret::SecretUse;

/// A published profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Profile {
    Fapi1Advanced,
    Fapi2,
    Fapi2MessageSigning,
    OpenFinanceBrasil,
}

/// What access tokens are bound to.
pub(super) struct Binding {
    pub(super) dpop: bool,
    pub(super) certificate: bool,
}

const KEY: &str = "profile";

const BRASIL_ENCRYPTION: RequestObjectEncryption = RequestObjectEncryption {
    key_management: KeyManagement::RsaOaep,
    content: ContentEncryption::A256GCM,
};

pub(super) fn read(reader: &Reader<'_>) -> Option<Profile> {
    let words = [
        Profile::Fapi2,
        Profile::Fapi2MessageSigning,
        Profile::Fapi1Advanced,
        Profile::OpenFinanceBrasil,
    ];
    reader.word(KEY, None, &words.map(|profile| (profile.as_str(), Some(profile))))
}

/// What tokens are bound to: what was written, and where nothing was, what the profile has for this client.
/// A certificate binds where there is one, a key of this process elsewhere.
pub(super) fn binding(
    reader: &Reader<'_>,
    profile: Option<Profile>,
    has_certificate: bool,
) -> Binding {
    let dpop = reader.boolean("dpop_bound_access_tokens");
    let certificate = reader.boolean("tls_client_certificate_bound_access_tokens");
    let fapi1 = profile.is_some_and(Profile::is_fapi1);
    let by_certificate = profile.is_some() && has_certificate && (fapi1 || dpop != Some(true));
    let certificate = certificate.unwrap_or(by_certificate);
    let by_key = profile.is_some() && !fapi1 && !certificate;
    Binding { dpop: dpop.unwrap_or(by_key), certificate }
}

impl Profile {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Fapi1Advanced => "fapi1-advanced",
            Self::Fapi2 => "fapi2",
            Self::Fapi2MessageSigning => "fapi2-message-signing",
            Self::OpenFinanceBrasil => "open-finance-brasil",
        }
    }

    const fn is_fapi1(self) -> bool {
        matches!(self, Self::Fapi1Advanced | Self::OpenFinanceBrasil)
    }

    /// Whether every authorization request is a signed request object.
    pub(super) const fn signs_requests(self) -> bool {
        !matches!(self, Self::Fapi2)
    }

    /// How answers come back where the operator does not say it.
    pub(super) const fn response_mode(self) -> ResponseMode {
        if matches!(self, Self::Fapi2) { ResponseMode::Query } else { ResponseMode::Jwt }
    }

    /// What anything may be signed with.
    const fn algorithms(self) -> &'static [Algorithm] {
        match self {
            Self::Fapi1Advanced => &[Algorithm::PS256, Algorithm::ES256],
            Self::Fapi2 | Self::Fapi2MessageSigning => {
                &[Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA]
            }
            Self::OpenFinanceBrasil => &[Algorithm::PS256],
        }
    }

    /// The line about algorithms, in words.
    const fn algorithms_in_words(self) -> &'static str {
        match self {
            Self::Fapi1Advanced => "everything is signed with PS256 or ES256 (FAPI 1.0 Part 2)",
            Self::Fapi2 | Self::Fapi2MessageSigning => {
                "everything is signed with PS256, ES256 or EdDSA (FAPI 2.0)"
            }
            Self::OpenFinanceBrasil => "everything is signed with PS256 (Open Finance Brasil)",
        }
    }
}

/// Makes a registration what its profile demands, and says what forbids that.
pub(super) fn apply(
    reader: &Reader<'_>,
    profile: Option<Profile>,
    registration: &mut Provider,
    has_certificate: bool,
) {
    let (Some(profile), Some(entry)) = (profile, reader.entry(KEY)) else { return };
    let held = Held { reader, profile, place: &entry.node.place };
    held.proof(registration);
    held.binding(registration, has_certificate);
    held.request(registration);
    held.signed_request(registration);
    held.answer(registration);
    held.algorithms(registration);
    if profile.is_fapi1() {
        held.fapi1(registration);
    } else {
        held.fapi2(registration);
    }
    if profile == Profile::OpenFinanceBrasil {
        held.brasil(registration);
    }
}

/// A provider that is held to a profile.
struct Held<'a> {
    reader: &'a Reader<'a>,
    profile: Profile,
    place: &'a Place,
}

impl Held<'_> {
    /// Says that what stands at `key` is forbidden, or that `key` is missing: which line of the profile says so,
    /// and what to write instead.
    fn refuse(&self, key: &str, line: &str, instead: &str) {
        self.reader.context.add(self.contradiction(key, line, instead));
    }

    fn contradiction(&self, key: &str, line: &str, instead: &str) -> Problem {
        let (name, profile) = (self.reader.name(key), self.profile.as_str());
        // A dotted name is that of a key in a table.
        let entry = (!key.contains('.')).then(|| self.reader.entry(key)).flatten();
        match entry {
            Some(entry) => {
                let message = format!("`{name}` contradicts the profile \"{profile}\"");
                Problem::new(Code::E0410, &entry.node.place, message)
                    .label(line)
                    .also(self.place, "the profile")
                    .help(instead)
            }
            None => {
                let message = format!("the profile \"{profile}\" needs `{name}`");
                Problem::new(Code::E0410, self.place, message).label(line).help(instead)
            }
        }
    }

    /// F2-02, F1-01.
    fn proof(&self, registration: &Provider) {
        let line = "clients prove who they are with `private_key_jwt` or a certificate (FAPI)";
        let instead =
            "add a `signing_key`, or `tls.certificate` with `tls.key`, and no `client_secret`";
        match registration.client_auth {
            ClientAuth::Assertion | ClientAuth::Certificate | ClientAuth::Key { .. } => {}
            ClientAuth::Secret { .. } | ClientAuth::SignedSecret { .. } => {
                let written = ["token_endpoint_auth_method", "client_secret"];
                let key = written.into_iter().find(|key| self.reader.has(key));
                self.refuse(key.unwrap_or("client_secret"), line, instead);
            }
            ClientAuth::None => {
                let method = self.reader.text("token_endpoint_auth_method");
                match method {
                    Some(method) if method.value == "none" => {
                        self.refuse("token_endpoint_auth_method", line, instead);
                    }
                    // What is there and cannot be used was said.
                    Some(_) => {}
                    None if self.reader.has("signing_key") => {}
                    None => self.refuse("signing_key", line, instead),
                }
            }
        }
    }

    /// F2-01, F2-07, F1-01, BR-02.
    fn binding(&self, registration: &Provider, has_certificate: bool) {
        let certificate_bound = "tls_client_certificate_bound_access_tokens";
        if self.profile.is_fapi1() {
            let line = "access tokens are bound to the client's certificate (FAPI 1.0 Part 2)";
            if !has_certificate {
                self.refuse("tls.certificate", line, "add `tls.certificate` and `tls.key`");
            } else if !registration.certificate_bound_access_tokens {
                self.refuse(certificate_bound, line, "write `true`, or delete the key");
            }
            if registration.dpop.is_some() {
                self.refuse("dpop_bound_access_tokens", line, "delete the key");
            }
        } else if registration.dpop.is_none() && !registration.certificate_bound_access_tokens {
            self.refuse(
                "dpop_bound_access_tokens",
                "access tokens are bound, by DPoP or a certificate (FAPI 2.0)",
                "delete the key to bind them to a key of this process, or add `tls.certificate`",
            );
        }
        let counts = registration.client_auth == ClientAuth::Certificate
            || registration.certificate_bound_access_tokens;
        match registration.mtls_endpoint_aliases {
            MtlsEndpointAliases::Never if counts => self.refuse(
                "mtls_endpoint_aliases",
                "a certificate that counts is shown at `mtls_endpoint_aliases` (RFC 8705 §5)",
                "delete the key: they are used where the provider has them",
            ),
            MtlsEndpointAliases::Always if !counts => self.refuse(
                "mtls_endpoint_aliases",
                "a certificate for transport alone is shown at the ordinary endpoints (FAPI 2.0)",
                "delete the key",
            ),
            MtlsEndpointAliases::Always
            | MtlsEndpointAliases::Auto
            | MtlsEndpointAliases::Never => {}
        }
    }

    /// F2-11, F2-13, F1-02; RFC 9396: what is to be authorized does not travel where anybody could change it.
    fn request(&self, registration: &mut Provider) {
        let key = "pushed_authorization_requests";
        let wish = &mut registration.authorization;
        if !self.profile.is_fapi1() {
            if !self.reader.has(key) {
                wish.pushing = Pushing::Required;
            } else if wish.pushing != Pushing::Required {
                let line = "every request is pushed (FAPI 2.0)";
                let problem =
                    self.contradiction(key, line, "write \"required\", or delete the key");
                let details = self.reader.entry("authorization_details");
                let details = details.filter(|_| wish.request_object.is_none());
                self.reader.context.add(match details {
                    Some(details) => problem
                        .also(&details.node.place, "this would be open to change in the address"),
                    None => problem,
                });
            }
            if !wish.repeats.is_empty() {
                self.refuse(
                    "authorization_request_repeats",
                    "the address has `client_id` and `request_uri` alone (FAPI 2.0)",
                    "delete the key",
                );
            }
        } else if wish.pushing != Pushing::Required
            && !self.reader.has("authorization_request_repeats")
        {
            // OIDC Core §6.1: what OAuth requires stands beside a request object as well.
            wish.repeats = ["response_type", "scope"].map(str::to_owned).to_vec();
        }
        if !wish.code_challenge && wish.pushing != Pushing::Never {
            self.refuse(
                "code_challenge_method",
                "a pushed request has a PKCE challenge, by S256 (FAPI)",
                "write \"S256\", or delete the key",
            );
        }
    }

    /// FM-01, F1-02, F1-03.
    fn signed_request(&self, registration: &Provider) {
        let line = if self.profile.is_fapi1() {
            "every request is a signed request object (FAPI 1.0 Part 2)"
        } else {
            "every request is a signed request object (FAPI 2.0 Message Signing)"
        };
        let Some(object) = &registration.authorization.request_object else {
            // Of a key or an algorithm that is there and cannot be used it was said.
            let is_there = ["signing_key", "request_object_signing_alg"];
            if self.profile.signs_requests() && !is_there.iter().any(|key| self.reader.has(key)) {
                self.refuse("signing_key", line, "add `signing_key = { file = \"…\" }`");
            }
            return;
        };
        if object.audience.as_ref().is_some_and(|audience| *audience != registration.issuer) {
            self.refuse(
                "request_object_audience",
                "a request object is for the issuer (FAPI)",
                "delete the key",
            );
        }
        if object.kind.as_deref().is_some_and(|kind| kind != RequestObject::KIND) {
            self.refuse(
                "request_object_typ",
                "a request object that names its type names its own (RFC 9101 §10.8)",
                "write \"oauth-authz-req+jwt\" or \"none\"",
            );
        }
    }

    /// F2-12, FM-02, FM-03, F1-05.
    fn answer(&self, registration: &mut Provider) {
        let answers = &mut registration.answers;
        let vouched = answers.response_type == ResponseType::CodeIdToken;
        if !self.profile.is_fapi1() {
            if vouched {
                self.refuse(
                    "response_type",
                    "the answer is a code alone (FAPI 2.0)",
                    "delete the key",
                );
            }
            match answers.issuer {
                IssuerParameter::ByMetadata => answers.issuer = IssuerParameter::Required,
                IssuerParameter::IfPresent => self.refuse(
                    "authorization_response_iss_parameter",
                    "every answer says whose it is (FAPI 2.0, RFC 9207)",
                    "write \"required\", or delete the key",
                ),
                IssuerParameter::Required => {}
            }
        }
        match self.profile {
            Profile::Fapi2 => {}
            Profile::Fapi2MessageSigning => {
                if answers.mode == ResponseMode::FormPost && !vouched {
                    self.refuse(
                        "response_mode",
                        "answers are signed, or in the query (FAPI 2.0 Message Signing)",
                        "delete the key, or write \"query\" for a provider that signs no answers",
                    );
                }
            }
            Profile::Fapi1Advanced | Profile::OpenFinanceBrasil => {
                if !answers.mode.is_signed() && !vouched {
                    self.refuse(
                        "response_mode",
                        "a code alone comes in a signed answer (FAPI 1.0 Part 2)",
                        "delete the key, or write \"jwt\", \"query.jwt\" or \"form_post.jwt\"",
                    );
                }
            }
        }
    }

    /// F2-15, F1-06, BR-02.
    fn algorithms(&self, registration: &mut Provider) {
        let allowed = self.profile.algorithms();
        let names: Vec<String> = allowed.iter().map(|known| format!("\"{known}\"")).collect();
        let instead = format!("write {}, or delete the key", crate::reader::alternatives(&names));
        let line = self.profile.algorithms_in_words();
        let is_forbidden = |algorithm: &Algorithm| !allowed.contains(algorithm);
        let answers = &mut registration.answers;
        for (key, list) in [
            ("id_token_signed_response_alg", &mut registration.id_token.signed_response_algs),
            ("authorization_signed_response_alg", &mut answers.authorization_signed_response_algs),
            ("userinfo_signed_response_alg", &mut answers.userinfo_signed_response_algs),
        ] {
            if !self.reader.has(key) {
                list.retain(|algorithm| allowed.contains(algorithm));
            } else if list.iter().any(is_forbidden) {
                self.refuse(key, line, &instead);
            }
        }
        // Ours: what the operator wrote, or what is best for the key that there is.
        let assertion = match &registration.client_auth {
            ClientAuth::Key { algorithm, .. } => Some(*algorithm),
            ClientAuth::Assertion
            | ClientAuth::Certificate
            | ClientAuth::None
            | ClientAuth::Secret { .. }
            | ClientAuth::SignedSecret { .. } => None,
        };
        let object = registration.authorization.request_object.as_ref();
        let object = object.map(|object| match &object.signer {
            RequestObjectSigner::ClientSecret => Algorithm::HS256,
            RequestObjectSigner::Key { algorithm, .. } => *algorithm,
        });
        let mut said = false;
        for (key, algorithm) in
            [("token_endpoint_auth_signing_alg", assertion), ("request_object_signing_alg", object)]
        {
            if !algorithm.as_ref().is_some_and(is_forbidden) {
                continue;
            }
            if self.reader.has(key) {
                self.refuse(key, line, &instead);
            } else if self.reader.context.secrets == SecretUse::Fetch && !said {
                // Where secrets are left alone, the key is a stand-in and says nothing.
                said = true;
                self.refuse("signing_key", line, self.other_key());
            }
        }
        if let Some(dpop) = &registration.dpop
            && is_forbidden(&dpop.algorithm)
        {
            let key = if self.reader.has("dpop_signing_alg") {
                "dpop_signing_alg"
            } else {
                "dpop_signing_key"
            };
            self.refuse(key, line, self.other_key());
        }
    }

    const fn other_key(&self) -> &'static str {
        match self.profile {
            Profile::Fapi1Advanced => "use an RSA key, or one on P-256",
            Profile::Fapi2 | Profile::Fapi2MessageSigning => {
                "use an RSA key, one on P-256, or one of Ed25519"
            }
            Profile::OpenFinanceBrasil => "use an RSA key",
        }
    }

    /// F2-03, F2-09.
    fn fapi2(&self, registration: &Provider) {
        let reader = self.reader;
        if registration.assertion.audience != AssertionAudience::Issuer {
            self.refuse(
                "client_assertion_audience",
                "a client assertion is for the issuer and nobody else (FAPI 2.0)",
                "write \"issuer\", or delete the key",
            );
        }
        if let Some(key) = ENDPOINTS.iter().find(|key| reader.has(key)) {
            self.refuse(
                key,
                "endpoints are those of the metadata (FAPI 2.0)",
                "delete every endpoint: they are discovered",
            );
        }
    }

    fn fapi1(&self, registration: &Provider) {
        if !registration.authorization.nonce && self.reader.has("nonce") {
            self.refuse(
                "nonce",
                "a login is bound to its ID token by a nonce (FAPI 1.0 Part 2)",
                "delete the key",
            );
        }
    }

    /// BR-01, BR-04, BR-06, BR-08.
    fn brasil(&self, registration: &mut Provider) {
        let wish = &mut registration.authorization;
        let pushed = wish.pushing == Pushing::Required;
        if let Some(object) = wish.request_object.as_mut().filter(|_| !pushed) {
            object.encryption.get_or_insert(BRASIL_ENCRYPTION);
        }
        self.acr(registration);
        if registration.id_token.encryption.is_none() && registration.id_token.required {
            let line = "ID tokens are encrypted to the client (Open Finance Brasil)";
            if self.reader.has("decryption_keys") {
                registration.id_token.encryption = Some(Encryption {
                    key_management: vec![KeyManagement::RsaOaep],
                    content: vec![ContentEncryption::A256GCM],
                });
            } else {
                let instead = "add `decryption_keys = [{ file = \"…\" }]`, an RSA key";
                self.refuse("decryption_keys", line, instead);
            }
        }
        if !registration.id_token.required {
            let line = "every sign-in has an ID token, with `acr` in it (Open Finance Brasil)";
            self.refuse("id_token", line, "delete the key");
        }
        if self.reader.boolean("silent_login") == Some(true) {
            let line = "requests carry no `id_token_hint` (Open Finance Brasil)";
            self.refuse("silent_login", line, "delete the key");
        }
    }

    /// `acr` is asked for as an essential claim, whatever its value, and has to be there.
    fn acr(&self, registration: &mut Provider) {
        let wish = &mut registration.authorization;
        let essential = json!({ "essential": true });
        let claims = wish.claims.get_or_insert_with(|| json!({}));
        let id_token = claims.as_object_mut().map(|claims| {
            claims.entry("id_token").or_insert_with(|| Json::Object(serde_json::Map::new()))
        });
        let asked = id_token
            .and_then(Json::as_object_mut)
            .map(|id_token| id_token.entry("acr").or_insert_with(|| essential.clone()).clone());
        if asked != Some(essential) {
            self.refuse(
                "claims_request",
                "`acr` is asked for as essential, and without values (Open Finance Brasil)",
                "write `id_token = { acr = { essential = true } }`, or leave `acr` out",
            );
        }
        registration.id_token.acr_values.get_or_insert_default();
    }
}

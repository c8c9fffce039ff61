//! What comes back from a provider: in which form, what it has to be, and what people are told of it.

use std::time::Duration;

use lychgate_gateway::settings::{ErrorRules, SignInRules};
use lychgate_oidc::kind::Preset;
use lychgate_oidc::{
    Algorithm, AnswerRules, ContentEncryption, DecryptionKey, Encryption, IdTokenRules,
    IssuerParameter, KeyManagement, ResponseMode, ResponseType, SubjectRule,
};
use url::Host;

use super::profile::Profile;
use super::{Draft, Providers, algorithms};
use crate::check::auth::{Auth, ServedHost};
use crate::code::Code;
use crate::context::{Context, Text};
use crate::file::Place;
use crate::grammar::PROVIDER_ERRORS;
use crate::problem::Problem;
use crate::reader::Reader;
use crate::secret::SecretUse;
use crate::tree::Value;

const MINUTE: Duration = Duration::from_secs(60);

/// What was read, and where.
pub(super) struct Answer {
    pub(super) id_token: IdTokenRules,
    pub(super) rules: AnswerRules,
    pub(super) decryption_keys: Vec<DecryptionKey>,
    pub(super) sign_in: SignInRules,
    /// Whether anything is signed with a key that the provider publishes.
    pub(super) needs_keys: bool,
    pub(super) places: Places,
}

/// Where the operator said what other tables may contradict.
#[derive(Default)]
pub(super) struct Places {
    redirect_uri: Option<Place>,
    response_mode: Option<Place>,
}

/// `preset`: what is known of the kind, which counts where the operator says nothing; `None` if the kind cannot be
/// read. `profile`: the one that the operator names, which counts for more.
pub(super) fn read(
    reader: &Reader<'_>,
    claims: &Reader<'_>,
    preset: Option<&Preset>,
    profile: Option<Profile>,
) -> Answer {
    let decryption_keys = decryption_keys(reader);
    let encryption = |stem| encryption(reader, stem, &decryption_keys);
    let id_token = IdTokenRules {
        required: reader.word(
            "id_token",
            preset.is_none_or(|preset| preset.id_token),
            &[("required", true), ("never", false)],
        ),
        signed_response_algs: algorithms(reader, "id_token_signed_response_alg"),
        encryption: encryption("id_token"),
        acr_values: texts(reader, "required_acr_values"),
    };
    let modes = ResponseMode::ALL.map(|mode| (mode.as_str(), mode));
    let types = ResponseType::ALL.map(|kind| (kind.as_str(), kind));
    let response_type = reader.word("response_type", ResponseType::Code, &types);
    let of_kind = preset.map_or(ResponseMode::Query, |preset| preset.response_mode);
    let usual = match response_type {
        ResponseType::Code => profile.map_or(of_kind, Profile::response_mode),
        ResponseType::CodeIdToken => ResponseMode::FormPost,
    };
    let mode = reader.word("response_mode", usual, &modes);
    let authorization_signed_response_algs = match reader.has("authorization_signed_response_alg") {
        true => algorithms(reader, "authorization_signed_response_alg"),
        false => id_token.signed_response_algs.clone(),
    };
    let userinfo_signed_response_algs = match reader.has("userinfo_signed_response_alg") {
        true => algorithms(reader, "userinfo_signed_response_alg"),
        false => Vec::new(),
    };
    let rules = AnswerRules {
        mode,
        response_type,
        authorization_encryption: encryption("authorization"),
        issuer: reader.word(
            "authorization_response_iss_parameter",
            IssuerParameter::ByMetadata,
            &[("required", IssuerParameter::Required), ("if-present", IssuerParameter::IfPresent)],
        ),
        userinfo_encryption: encryption("userinfo"),
        subject: subject(reader, claims),
        consent_statuses: texts(reader, "consent_statuses").unwrap_or_default(),
        authorization_signed_response_algs,
        userinfo_signed_response_algs,
    };
    refuse_in_vain(reader, &id_token, &rules);
    if response_type == ResponseType::CodeIdToken {
        refuse_what_vouches_for_nothing(reader, mode, &id_token);
    }
    let by_public_key =
        |algorithms: &[Algorithm]| algorithms.iter().any(|known| *known != Algorithm::HS256);
    let needs_keys = (id_token.required && by_public_key(&id_token.signed_response_algs))
        || (mode.is_signed() && by_public_key(&rules.authorization_signed_response_algs))
        || by_public_key(&rules.userinfo_signed_response_algs);
    let place = |key| reader.entry(key).map(|entry| entry.node.place.clone());
    Answer {
        id_token,
        rules,
        decryption_keys,
        sign_in: sign_in(reader),
        needs_keys,
        places: Places {
            redirect_uri: place("redirect_uri"),
            response_mode: ["response_mode", "response_type", "kind"].into_iter().find_map(place),
        },
    }
}

/// What would take from an ID token beside the code what it is there for, or show it to more than a browser and us.
fn refuse_what_vouches_for_nothing(
    reader: &Reader<'_>,
    mode: ResponseMode,
    id_token: &IdTokenRules,
) {
    let refuse = |key: &str, label: &str, help: &str| {
        let Some(entry) = reader.entry(key) else { return };
        let message =
            format!("`{}` does not go with `response_type = \"code id_token\"`", reader.name(key));
        let problem = Problem::new(Code::E0123, &entry.node.place, message);
        reader.context.add(problem.label(label).help(help));
    };
    let help = "write \"form_post\", or delete the key";
    match mode {
        ResponseMode::FormPost => {}
        ResponseMode::Query => {
            refuse(
                "response_mode",
                "an ID token in an address is kept in histories and logs",
                help,
            );
        }
        ResponseMode::FormPostJwt | ResponseMode::Jwt | ResponseMode::QueryJwt => refuse(
            "response_mode",
            "the whole answer is signed with this, and needs no ID token to vouch for it",
            "write \"form_post\", or delete `response_type`",
        ),
    }
    if !id_token.required {
        refuse("id_token", "there is no ID token", "delete one of the two");
    }
    if reader.boolean("nonce") == Some(false) {
        refuse("nonce", "nothing would bind the ID token to its login", "delete the key");
    }
}

/// Keys beside which another key would do nothing, or the opposite of what it says.
fn refuse_in_vain(reader: &Reader<'_>, id_token: &IdTokenRules, rules: &AnswerRules) {
    let contradiction = |key: &str, label: &str| {
        let Some(entry) = reader.entry(key) else { return };
        let message = format!("`{}` would do nothing", reader.name(key));
        let problem = Problem::new(Code::E0123, &entry.key_place, message);
        reader.context.add(problem.label(label));
    };
    if !rules.mode.is_signed() {
        let label = "the response is not signed; write `response_mode = \"jwt\"`, or delete this";
        for key in ["authorization_signed_response_alg", "authorization_encrypted_response_alg"] {
            contradiction(key, label);
        }
    }
    if !id_token.required {
        for key in [
            "id_token_signed_response_alg",
            "id_token_encrypted_response_alg",
            "required_acr_values",
        ] {
            contradiction(key, "there is no ID token");
        }
        if rules.response_type == ResponseType::CodeIdToken && !reader.has("id_token") {
            contradiction("response_type", "this kind of provider gives no ID token");
        }
        if reader.boolean("silent_login") == Some(true) {
            contradiction("silent_login", "it needs an ID token to show, and there is none");
        }
        let names = matches!(rules.subject, SubjectRule::Claim(_));
        let nowhere = reader.has("token_endpoint")
            && !reader.has("userinfo_endpoint")
            && !reader.has("lookups");
        if names
            && nowhere
            && let Some(entry) = reader.entry("id_token").or_else(|| reader.entry("kind"))
        {
            let message = format!("nobody says who signs in at `{}`", reader.path);
            reader.context.add(
                Problem::new(Code::E0123, &entry.node.place, message)
                    .label("without an ID token, and there is no `userinfo_endpoint`")
                    .help("ask a `userinfo_endpoint` or `lookups`; or, if it is enough that somebody did, write `subject = \"pseudonymous\"`"),
            );
        }
    }
}

fn subject(reader: &Reader<'_>, claims: &Reader<'_>) -> SubjectRule {
    let pseudonymous = reader.word("subject", false, &[("claim", false), ("pseudonymous", true)]);
    match (pseudonymous, claims.words("subject")) {
        (true, Some(text)) => {
            let message = format!("`{}` would do nothing", claims.name("subject"));
            let problem = Problem::new(Code::E0123, &text.place, message);
            reader.context.add(problem.label("`subject = \"pseudonymous\"`: no claim is read"));
            SubjectRule::Pseudonymous
        }
        (true, None) => SubjectRule::Pseudonymous,
        (false, Some(text)) => SubjectRule::Claim(text.value),
        (false, None) => SubjectRule::default(),
    }
}

fn sign_in(reader: &Reader<'_>) -> SignInRules {
    let path = reader.name("errors");
    let errors = reader.table_or_default("errors", &path, &PROVIDER_ERRORS);
    SignInRules {
        login_timeout: reader
            .has("login_timeout")
            .then(|| reader.duration("login_timeout", 10 * MINUTE, MINUTE..=60 * MINUTE)),
        silent_login: reader.boolean("silent_login").unwrap_or(false),
        email_domains: hosts(reader, "email_domains"),
        errors: ErrorRules {
            retryable: texts(&errors, "retryable"),
            uri_hosts: hosts(&errors, "uri_hosts"),
            show_without_state: errors.word(
                "without_state",
                false,
                &[("generic", false), ("show", true)],
            ),
        },
    }
}

fn texts(reader: &Reader<'_>, key: &str) -> Option<Vec<String>> {
    let texts = reader.texts(key)?;
    if texts.is_empty()
        && key != "retryable"
        && let Some(entry) = reader.entry(key)
    {
        let message = format!("`{}` is empty", reader.name(key));
        let problem = Problem::new(Code::E0122, &entry.node.place, message);
        reader.context.add(problem.label("write what is allowed, or delete the key"));
    }
    Some(texts.into_iter().map(|text| text.value).collect())
}

/// A list of domain names, as they are compared: in lower case and in ASCII.
fn hosts(reader: &Reader<'_>, key: &str) -> Vec<String> {
    let texts = reader.texts(key).unwrap_or_default();
    let host = |text: &Text| match Host::parse(&text.value) {
        Ok(Host::Domain(domain)) if !text.value.is_empty() => Some(domain),
        Ok(_) | Err(_) => {
            let message = format!("{:?} in `{}` is no domain", text.value, reader.name(key));
            let problem = Problem::new(Code::E0122, &text.place, message);
            reader.context.add(problem.label("write a domain, such as \"example.com\""));
            None
        }
    };
    texts.iter().filter_map(host).collect()
}

fn decryption_keys(reader: &Reader<'_>) -> Vec<DecryptionKey> {
    let Some(entry) = reader.entry("decryption_keys") else { return Vec::new() };
    let name = reader.name("decryption_keys");
    let Value::List(items) = &entry.node.value else {
        let problem = reader.context.wrong_type(&entry.node, &name, "a list of secrets");
        reader.context.add(problem.help("write [{ file = \"/run/secrets/decryption.pem\" }]"));
        return Vec::new();
    };
    let mut keys = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let name = format!("{name}[{at}]");
        let Some(pem) = reader.context.secret(item, &name) else { continue };
        if reader.context.secrets == SecretUse::Leave {
            continue;
        }
        match DecryptionKey::from_pem(&pem) {
            Ok(key) => keys.push(key),
            Err(error) => {
                let message = format!("`{name}` cannot be used");
                reader.context.add(
                    Problem::new(Code::E0305, &item.place, message).label(error.to_string()).help(
                        "make one: `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072`",
                    ),
                );
            }
        }
    }
    keys
}

/// What was agreed on about the encryption of `stem`, if anything was.
fn encryption(reader: &Reader<'_>, stem: &str, keys: &[DecryptionKey]) -> Option<Encryption> {
    let (alg, enc) = match stem {
        "id_token" => ("id_token_encrypted_response_alg", "id_token_encrypted_response_enc"),
        "userinfo" => ("userinfo_encrypted_response_alg", "userinfo_encrypted_response_enc"),
        _ => ("authorization_encrypted_response_alg", "authorization_encrypted_response_enc"),
    };
    if let (false, Some(entry)) = (reader.has(alg), reader.entry(enc)) {
        let message = format!("`{}` stands without `{alg}`", reader.name(enc));
        let problem = Problem::new(Code::E0123, &entry.key_place, message);
        reader.context.add(problem.label("which says that there is any encryption"));
    }
    let entry = reader.entry(alg)?;
    let key_management =
        names(reader, alg, KeyManagement::ALL.map(|known| (known.as_str(), known)));
    let content = match reader.has(enc) {
        true => names(reader, enc, ContentEncryption::ALL.map(|known| (known.as_str(), known))),
        false => ContentEncryption::ALL.to_vec(),
    };
    let lacks = |known: &KeyManagement| !keys.iter().any(|key| key.fits(*known));
    if !reader.has("decryption_keys")
        || (reader.context.secrets == SecretUse::Fetch && key_management.iter().any(lacks))
    {
        let message = format!("nothing could be decrypted that `{}` asks for", reader.name(alg));
        reader.context.add(
            Problem::new(Code::E0123, &entry.node.place, message)
                .label("there is no key of this type in `decryption_keys`")
                .help("RSA-OAEP and RSA-OAEP-256 need an RSA key, ECDH-ES one on P-256"),
        );
    }
    Some(Encryption { key_management, content })
}

/// One of a few names, or a list of them.
fn names<T: Copy, const N: usize>(reader: &Reader<'_>, key: &str, known: [(&str, T); N]) -> Vec<T> {
    let is_text = reader.entry(key).is_some_and(|entry| matches!(entry.node.value, Value::Text(_)));
    let texts = if is_text { reader.text(key).map(|text| vec![text]) } else { reader.texts(key) };
    let mut found = Vec::new();
    for text in texts.unwrap_or_default() {
        match known.iter().find(|(name, _)| *name == text.value) {
            Some((_, meaning)) => found.push(*meaning),
            None => reader.none_of(&text, &reader.name(key), known.iter().map(|(name, _)| *name)),
        }
    }
    found
}

/// Whether an issuer may be a word: where everything else is written down, it only has to be compared. No URL and
/// nothing that could be taken for one.
pub(super) fn is_word(issuer: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !issuer.is_empty() && issuer.len() <= 255 && issuer.bytes().all(plain)
}

impl Providers {
    /// Refuses what only shows beside other providers and routes.
    pub(in crate::check) fn check_answers(
        &self,
        context: &Context<'_>,
        auth: &Auth,
        hosts: &[ServedHost],
    ) {
        for (at, draft) in self.drafts.iter().enumerate() {
            self.refuse_shared_address(context, draft, self.drafts.get(..at).unwrap_or_default());
            refuse_posts_in_plain_text(context, draft, auth, hosts);
        }
    }

    /// Answers of two providers at one address have to say whose they are, in a way that cannot be left out
    /// (RFC 9700 §4.4.2, CB-18).
    fn refuse_shared_address(&self, context: &Context<'_>, draft: &Draft, before: &[Draft]) {
        let Some(place) = &draft.answer_places.redirect_uri else { return };
        let says_whose = |draft: &Draft| {
            let answers = &draft.registration.answers;
            answers.issuer == IssuerParameter::Required && !answers.mode.is_signed()
        };
        let other = before.iter().find(|other| {
            other.redirect_uri.is_some()
                && other.redirect_uri == draft.redirect_uri
                && !(says_whose(other) && says_whose(draft))
        });
        let Some(other) = other else { return };
        let (name, other_name) = (&draft.registration.name, &other.registration.name);
        let problem = Problem::new(
            Code::E0211,
            place,
            format!("an answer of `{name}` cannot be told from one of `{other_name}`"),
        );
        let problem = problem.label("the same address");
        context.add(match &other.answer_places.redirect_uri {
            Some(place) => problem.also(place, format!("`{other_name}` sends browsers there, too")),
            None => problem,
        }
        .help("give each an address of its own, or delete both `redirect_uri` and register what `lychgate check` prints"));
    }
}

/// A form that another site posts carries only cookies that browsers keep on https.
fn refuse_posts_in_plain_text(
    context: &Context<'_>,
    draft: &Draft,
    auth: &Auth,
    hosts: &[ServedHost],
) {
    let Some(place) = &draft.answer_places.response_mode else { return };
    if !draft.registration.answers.mode.is_posted() {
        return;
    }
    let problem = |origin: &str| {
        Problem::new(
            Code::E0212,
            place,
            format!("nobody could sign in at `{}` from {origin}", draft.registration.name),
        )
        .label("browsers send no cookie with this over http")
        .help("serve it by https, or write \"query\" or \"jwt\" where the provider has them")
    };
    if let Some((origin, origin_place)) = &auth.public_url {
        if !origin.is_secure() {
            let problem = problem(&origin.to_string());
            context.add(problem.also(origin_place, "people sign in here"));
        }
        return;
    }
    if let Some(plain) = hosts.iter().find(|host| !host.origin.is_secure()) {
        let message = format!("route `{}`", plain.route);
        context.add(problem(&plain.origin.to_string()).also(&plain.place, message));
    }
}

// Every way in which a simulator can be told to misbehave. A name that is not here is refused, so
// that a misspelt switch does not let a test pass.
const JWT_FAULTS = `
alg_none alg_other alg_hs256_public_key bad_signature unknown_kid no_kid no_kid_unpublished
wrong_secret iss_missing iss_wrong aud_missing aud_wrong aud_array aud_array_stranger
aud_array_stranger_wrong_azp azp_wrong exp_missing exp_past iat_missing iat_future iat_week_old
nbf_future nonce_missing nonce_wrong sub_missing sub_empty sub_number sub_other at_hash_missing
at_hash_wrong c_hash_missing c_hash_wrong s_hash_missing s_hash_wrong crit_unknown auth_time_missing
auth_time_old acr_missing acr_wrong encrypted_rsa1_5 encrypted_unasked plain oversize deep_json
garbage typ_wrong profile_missing profile_text event_missing event_wrong nonce_present jti_missing
claims header`.split(/\s+/).filter(Boolean);

export const JWTS = ['id_token', 'front_id_token', 'refresh_id_token', 'jarm', 'userinfo_jwt', 'logout_token'];

const OTHERS = `
deny bank_custom_error authorize_error server_error temporarily_unavailable ip_blocked
unknown_error_code no_iss wrong_iss iss_trailing_slash wrong_state no_state state_dropped dup_params
code_and_error plain_response delay_callback interactive code_ttl repeats_allowed
par_201 par_200 par_429 par_413 par_error par_500 par_html_502 par_slow par_redirect par_no_request_uri
par_request_uri
token_error token_invalid_grant token_html_502 token_500 token_slow token_state_mismatch
token_redirect token_empty token_truncated token_oversize token_wrong_content_type token_200_error
token_429 token_reset token_type_case token_type_lowercase token_type_wrong no_expires_in no_scope no_access_token
no_token_type echo_extra_members consent_awaiting details_changed details_missing
details_other_consent with_refresh no_refresh refresh_rotation no_refresh_rotation no_id_token
unexpected_id_token
userinfo_sub_other userinfo_no_sub userinfo_401 userinfo_403 userinfo_500 userinfo_slow
userinfo_oversize userinfo_not_json userinfo_signed accounts_401
metadata_issuer_mismatch discovery_issuer_mismatch issuer_slash_mismatch metadata_missing
metadata_http_endpoint metadata_huge metadata_not_json metadata_404 metadata_500 metadata_slow
metadata_set jwks_duplicate_kid jwks_unknown_kty jwks_enc_key_first jwks_rotated jwks_slow jwks_404
jwks_huge jwks_empty jwks_not_json
plain_requests reject_outer_parameters client_auth_only jar_audience pkce_required
scope_consent mtls dynamic_authorize_endpoint pre_step_auth_id
reject_unknown error_state description_form silent_error token_message
no_dpop_nonce dpop_nonce_fresh`.split(/\s+/).filter(Boolean);

const KNOWN = new Set([...OTHERS, ...JWTS.flatMap((jwt) => JWT_FAULTS.map((fault) => `${jwt}_${fault}`))]);

export class Switches {
  #set = new Map();

  put(name, parameters = {}, times = Infinity) {
    if (!KNOWN.has(name)) throw new Error(`there is no switch ${name}; README.md lists them`);
    this.#set.set(name, { parameters, times });
  }

  clear(name) {
    if (name === undefined) this.#set.clear();
    else this.#set.delete(name);
  }

  // The switch's parameters where it is on; counts as one use of a switch that is on a few times.
  take(name) {
    if (!KNOWN.has(name)) throw new Error(`there is no switch ${name}`);
    const found = this.#set.get(name);
    if (!found) return undefined;
    found.times -= 1;
    if (found.times <= 0) this.#set.delete(name);
    return found.parameters;
  }

  isOn(name) {
    return this.#set.has(name);
  }

  // The faults that are set for one kind of JWT, each with its parameters.
  takeFaults(jwt) {
    return JWT_FAULTS
      .map((fault) => [fault, this.take(`${jwt}_${fault}`)])
      .filter(([, parameters]) => parameters !== undefined);
  }

  list() {
    return { set: Object.fromEntries(this.#set), known: [...KNOWN] };
  }
}

package main

import (
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// A registered client, as the library asks about it.
type client struct {
	id, secret              string
	auth                    oidc.AuthMethod
	redirects, afterLogouts []string
}

var _ op.Client = client{}

func (c client) GetID() string                       { return c.id }
func (c client) RedirectURIs() []string              { return c.redirects }
func (c client) PostLogoutRedirectURIs() []string    { return c.afterLogouts }
func (c client) ApplicationType() op.ApplicationType { return op.ApplicationTypeWeb }
func (c client) AuthMethod() oidc.AuthMethod         { return c.auth }
func (c client) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c client) GrantTypes() []oidc.GrantType {
	return []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeRefreshToken}
}
func (c client) LoginURL(id string) string           { return "/login?id=" + id }
func (c client) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeBearer }
func (c client) IDTokenLifetime() time.Duration      { return 10 * time.Minute }

// DevMode lets a web client return to http, as loopback does.
func (c client) DevMode() bool { return true }

// RestrictAdditionalIdTokenScopes and IDTokenUserinfoClaimsAssertion keep claims out of the ID token:
// with a code, they come from userinfo (OpenID Connect Core, section 5.4).
func (c client) RestrictAdditionalIdTokenScopes() func([]string) []string {
	return func([]string) []string { return nil }
}
func (c client) IDTokenUserinfoClaimsAssertion() bool { return false }

func (c client) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}
func (c client) IsScopeAllowed(scope string) bool { return scope == "groups" }
func (c client) ClockSkew() time.Duration         { return 0 }

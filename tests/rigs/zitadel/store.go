package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/subtle"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const (
	secret       = "not-a-credential-0123456789abcdef0123456789abcdef"
	assertionKey = "assertion-rsa"
)

// What the library wants to have remembered.
type store struct {
	lock      sync.Mutex
	next      string
	lifetime  time.Duration
	clients   map[string]client
	requests  map[string]*request
	codes     map[string]string
	access    map[string]grant
	refresh   map[string]grant
	keys      []key
	rotations int
	assertion *rsa.PrivateKey
	events    []map[string]any
}

var (
	_ op.Storage                   = (*store)(nil)
	_ op.CanSetUserinfoFromRequest = (*store)(nil)
)

func newStore() (*store, error) {
	assertion, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	s := &store{
		next:     "alice",
		lifetime: 5 * time.Minute,
		clients: map[string]client{
			"basic":       {id: "basic", secret: secret, auth: oidc.AuthMethodBasic},
			"post":        {id: "post", secret: secret, auth: oidc.AuthMethodPost},
			"private-key": {id: "private-key", auth: oidc.AuthMethodPrivateKeyJWT},
		},
		requests:  map[string]*request{},
		codes:     map[string]string{},
		access:    map[string]grant{},
		refresh:   map[string]grant{},
		assertion: assertion,
	}
	return s, s.rotate(true)
}

// The clients, as the ready line has them.
func (s *store) introductions() []map[string]any {
	list := []map[string]any{}
	for _, id := range slices.Sorted(maps.Keys(s.clients)) {
		known := s.clients[id]
		entry := map[string]any{"name": id, "id": id, "auth": known.auth, "alg": "RS256"}
		if known.secret != "" {
			entry["secret"] = known.secret
		}
		if known.auth == oidc.AuthMethodPrivateKeyJWT {
			// The key was made by this process, so that it can be written.
			der, _ := x509.MarshalPKCS8PrivateKey(s.assertion)
			block := &pem.Block{Type: "PRIVATE KEY", Bytes: der}
			entry["signing_key"] = string(pem.EncodeToMemory(block))
			entry["signing_key_id"] = assertionKey
		}
		list = append(list, entry)
	}
	return list
}

func (s *store) record(kind string, detail map[string]any) {
	s.lock.Lock()
	defer s.lock.Unlock()
	detail["type"] = kind
	s.events = append(s.events, detail)
}

func (s *store) nextIs(user string) error {
	s.lock.Lock()
	defer s.lock.Unlock()
	if _, known := people[user]; !known {
		return fmt.Errorf("there is no user %s", user)
	}
	s.next = user
	return nil
}

func (s *store) acceptReturns(redirects, afterLogouts []string) {
	s.lock.Lock()
	defer s.lock.Unlock()
	for id, known := range s.clients {
		known.redirects, known.afterLogouts = redirects, afterLogouts
		s.clients[id] = known
	}
}

// The provider's signing keys: the newest signs, all are published.
type key struct {
	id      string
	private *rsa.PrivateKey
}

func (s *store) rotate(drop bool) error {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	s.rotations++
	if drop {
		s.keys = nil
	}
	fresh := key{fmt.Sprintf("rs256-%d", s.rotations), private}
	s.keys = append([]key{fresh}, s.keys...)
	return nil
}

type signingKey struct{ key }

func (k signingKey) ID() string                                  { return k.id }
func (k signingKey) Key() any                                    { return k.private }
func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }

type publicKey struct{ key }

func (k publicKey) ID() string                         { return k.id }
func (k publicKey) Key() any                           { return &k.private.PublicKey }
func (k publicKey) Use() string                        { return "sig" }
func (k publicKey) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }

func (s *store) SigningKey(context.Context) (op.SigningKey, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	return signingKey{s.keys[0]}, nil
}

func (s *store) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.RS256}, nil
}

func (s *store) KeySet(context.Context) ([]op.Key, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	var list []op.Key
	for _, known := range s.keys {
		list = append(list, publicKey{known})
	}
	return list, nil
}

// A sign-in under way. The library's own type has what was asked for.
type request struct {
	asked    *oidc.AuthRequest
	id       string
	subject  string
	signedIn time.Time
}

func (r *request) GetID() string                      { return r.id }
func (r *request) GetACR() string                     { return "" }
func (r *request) GetAMR() []string                   { return []string{"pwd"} }
func (r *request) GetAudience() []string              { return []string{r.asked.ClientID} }
func (r *request) GetAuthTime() time.Time             { return r.signedIn }
func (r *request) GetClientID() string                { return r.asked.ClientID }
func (r *request) GetNonce() string                   { return r.asked.Nonce }
func (r *request) GetRedirectURI() string             { return r.asked.RedirectURI }
func (r *request) GetResponseType() oidc.ResponseType { return r.asked.ResponseType }
func (r *request) GetResponseMode() oidc.ResponseMode { return r.asked.ResponseMode }
func (r *request) GetScopes() []string                { return r.asked.Scopes }
func (r *request) GetState() string                   { return r.asked.State }
func (r *request) GetSubject() string                 { return r.subject }
func (r *request) Done() bool                         { return r.subject != "" }
func (r *request) GetCodeChallenge() *oidc.CodeChallenge {
	if r.asked.CodeChallenge == "" {
		return nil
	}
	return &oidc.CodeChallenge{Challenge: r.asked.CodeChallenge, Method: r.asked.CodeChallengeMethod}
}

var errUnknown = errors.New("unknown, used or expired")

func (s *store) CreateAuthRequest(_ context.Context, asked *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	// The library leaves it to its user whether PKCE is required.
	if asked.CodeChallenge == "" {
		return nil, oidc.ErrInvalidRequest().WithDescription("code_challenge is required")
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	started := &request{asked: asked, id: rand.Text()}
	s.requests[started.id] = started
	return started, nil
}

func (s *store) signIn(id string) error {
	s.lock.Lock()
	defer s.lock.Unlock()
	started, known := s.requests[id]
	if !known {
		return errUnknown
	}
	started.subject = s.next
	if _, known := people[started.asked.LoginHint]; known {
		started.subject = started.asked.LoginHint
	}
	started.signedIn = time.Now()
	return nil
}

func (s *store) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if started, known := s.requests[id]; known {
		return started, nil
	}
	return nil, errUnknown
}

func (s *store) AuthRequestByCode(ctx context.Context, code string) (op.AuthRequest, error) {
	s.lock.Lock()
	id := s.codes[code]
	s.lock.Unlock()
	return s.AuthRequestByID(ctx, id)
}

func (s *store) SaveAuthCode(_ context.Context, id, code string) error {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.codes[code] = id
	return nil
}

func (s *store) DeleteAuthRequest(_ context.Context, id string) error {
	s.lock.Lock()
	defer s.lock.Unlock()
	delete(s.requests, id)
	maps.DeleteFunc(s.codes, func(_, of string) bool { return of == id })
	return nil
}

// What a token stands for. It is also the request that renews one.
type grant struct {
	client, subject string
	scopes          []string
	signedIn        time.Time
	until           time.Time
}

func (g *grant) GetAMR() []string                 { return []string{"pwd"} }
func (g *grant) GetAudience() []string            { return []string{g.client} }
func (g *grant) GetAuthTime() time.Time           { return g.signedIn }
func (g *grant) GetClientID() string              { return g.client }
func (g *grant) GetScopes() []string              { return g.scopes }
func (g *grant) GetSubject() string               { return g.subject }
func (g *grant) SetCurrentScopes(scopes []string) { g.scopes = scopes }

// How long access tokens live from now on.
func (s *store) tokensLive(lifetime time.Duration) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.lifetime = lifetime
}

func granted(asked op.TokenRequest) (grant, error) {
	full, ok := asked.(op.IDTokenRequest)
	if !ok {
		return grant{}, errors.New("only codes and refresh tokens are redeemed here")
	}
	return grant{
		client:   full.GetClientID(),
		subject:  full.GetSubject(),
		scopes:   full.GetScopes(),
		signedIn: full.GetAuthTime(),
	}, nil
}

func (s *store) CreateAccessToken(_ context.Context, asked op.TokenRequest) (string, time.Time, error) {
	given, err := granted(asked)
	if err != nil {
		return "", time.Time{}, err
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	id := rand.Text()
	given.until = time.Now().Add(s.lifetime)
	s.access[id] = given
	return id, given.until, nil
}

func (s *store) CreateAccessAndRefreshTokens(ctx context.Context, asked op.TokenRequest, used string) (string, string, time.Time, error) {
	id, until, err := s.CreateAccessToken(ctx, asked)
	if err != nil {
		return "", "", time.Time{}, err
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	// Refresh tokens rotate.
	delete(s.refresh, used)
	fresh := rand.Text()
	s.refresh[fresh] = s.access[id]
	return id, fresh, until, nil
}

func (s *store) TokenRequestByRefreshToken(_ context.Context, token string) (op.RefreshTokenRequest, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if given, known := s.refresh[token]; known {
		return &given, nil
	}
	return nil, op.ErrInvalidRefreshToken
}

func (s *store) GetRefreshTokenInfo(_ context.Context, _, token string) (string, string, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if given, known := s.refresh[token]; known {
		return given.subject, token, nil
	}
	return "", "", op.ErrInvalidRefreshToken
}

func (s *store) RevokeToken(_ context.Context, token, _, id string) *oidc.Error {
	s.lock.Lock()
	defer s.lock.Unlock()
	for _, tokens := range []map[string]grant{s.access, s.refresh} {
		if tokens[token].client == id {
			delete(tokens, token)
		}
	}
	return nil
}

func (s *store) TerminateSession(_ context.Context, user, id string) error {
	s.record("end_session.success", map[string]any{"user": user, "client": id})
	s.lock.Lock()
	defer s.lock.Unlock()
	theirs := func(_ string, given grant) bool { return given.client == id && given.subject == user }
	maps.DeleteFunc(s.access, theirs)
	maps.DeleteFunc(s.refresh, theirs)
	return nil
}

func (s *store) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if known, there := s.clients[id]; there {
		return known, nil
	}
	return nil, errUnknown
}

func (s *store) AuthorizeClientIDSecret(_ context.Context, id, offered string) error {
	s.lock.Lock()
	defer s.lock.Unlock()
	known := s.clients[id].secret
	if known == "" || subtle.ConstantTimeCompare([]byte(known), []byte(offered)) == 0 {
		return errors.New("this is not the client's secret")
	}
	return nil
}

// GetKeyByIDAndClientID has the key of the client that signs assertions.
func (s *store) GetKeyByIDAndClientID(_ context.Context, kid, id string) (*jose.JSONWebKey, error) {
	if id != "private-key" || kid != assertionKey {
		return nil, errUnknown
	}
	return &jose.JSONWebKey{KeyID: kid, Use: "sig", Key: &s.assertion.PublicKey}, nil
}

func (s *store) SetUserinfoFromToken(_ context.Context, info *oidc.UserInfo, id, _, _ string) error {
	s.lock.Lock()
	defer s.lock.Unlock()
	given, known := s.access[id]
	if !known || given.until.Before(time.Now()) {
		return errUnknown
	}
	describe(info, given.subject, given.scopes)
	return nil
}

func (s *store) SetIntrospectionFromToken(_ context.Context, answer *oidc.IntrospectionResponse, id, _, asking string) error {
	s.lock.Lock()
	defer s.lock.Unlock()
	given, known := s.access[id]
	if !known || given.client != asking || given.until.Before(time.Now()) {
		return errUnknown
	}
	answer.Subject = given.subject
	answer.Scope = given.scopes
	answer.ClientID = given.client
	return nil
}

// SetUserinfoFromRequest is for the ID token, whose subject it decides. The client keeps the rest of
// the scopes out of it.
func (s *store) SetUserinfoFromRequest(_ context.Context, info *oidc.UserInfo, asked op.IDTokenRequest, scopes []string) error {
	describe(info, asked.GetSubject(), scopes)
	return nil
}

// SetUserinfoFromScopes is superseded in the library, whose documentation asks for it to be empty.
func (s *store) SetUserinfoFromScopes(context.Context, *oidc.UserInfo, string, string, []string) error {
	return nil
}

// GetPrivateClaimsFromScopes is for access tokens that are JWTs; these are opaque.
func (s *store) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return nil, nil
}

func (s *store) ValidateJWTProfileScopes(context.Context, string, []string) ([]string, error) {
	return nil, errors.New("this grant is not offered")
}

func (s *store) Health(context.Context) error { return nil }

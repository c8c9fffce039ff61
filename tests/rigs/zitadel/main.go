// The certified OpenID Provider of github.com/zitadel/oidc, driven by a test.
//
// It prints one line of JSON when it is ready and ends when its standard input does; README.md, one
// directory up, describes both and the admin routes. The engine is the library's and unchanged; this
// program adds users, clients, a sign-in that asks nobody, and the admin listener. Everything binds
// to loopback, and keys, secrets and users live only in this process.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/op"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	public, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	private, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	issuer := "http://" + public.Addr().String()

	store, err := newStore()
	if err != nil {
		return err
	}
	engine, err := newEngine(issuer, store)
	if err != nil {
		return err
	}
	go serve(public, handler(engine, store))
	go serve(private, admin(store))

	ready := map[string]any{
		"issuer":  issuer,
		"admin":   "http://" + private.Addr().String(),
		"clients": store.introductions(),
	}
	if err := json.NewEncoder(os.Stdout).Encode(ready); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func serve(listener net.Listener, handler http.Handler) {
	if err := http.Serve(listener, handler); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func newEngine(issuer string, store *store) (*op.Provider, error) {
	config := &op.Config{
		DefaultLogoutRedirectURI: "/signed-out",
		CodeMethodS256:           true,
		AuthMethodPost:           true,
		AuthMethodPrivateKeyJWT:  true,
		GrantTypeRefreshToken:    true,
		SupportedScopes:          []string{"openid", "profile", "email", "groups", "offline_access"},
	}
	if _, err := rand.Read(config.CryptoKey[:]); err != nil {
		return nil, err
	}
	quiet := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	return op.NewProvider(config, store, op.StaticIssuer(issuer), op.WithAllowInsecure(), op.WithLogger(quiet))
}

func handler(engine *op.Provider, store *store) http.Handler {
	callback := op.AuthCallbackURL(engine)
	issuers := op.NewIssuerInterceptor(engine.IssuerFromRequest)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", issuers.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.URL.Query().Get("id")
		if err := store.signIn(id); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		http.Redirect(w, r, callback(r.Context(), id), http.StatusFound)
	}))
	mux.HandleFunc("GET /signed-out", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "You are signed out of the provider.")
	})
	mux.Handle("/", engine)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		store.record("request", map[string]any{"method": r.Method, "path": r.URL.Path})
		mux.ServeHTTP(w, r)
	})
}

// What a test may ask of the provider, beside the protocol.
func admin(store *store) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		answer(w, store.eventsOf(r.URL.Query().Get("type")), nil)
	})
	order := func(route string, work func(context.Context, *orders) error) {
		mux.HandleFunc("POST "+route, func(w http.ResponseWriter, r *http.Request) {
			var body orders
			err := json.NewDecoder(r.Body).Decode(&body)
			if err == nil {
				err = work(r.Context(), &body)
			}
			answer(w, map[string]bool{"ok": true}, err)
		})
	}
	order("/user", func(_ context.Context, body *orders) error { return store.nextIs(body.User) })
	order("/rotate", func(_ context.Context, body *orders) error { return store.rotate(body.Drop) })
	order("/access-tokens", func(_ context.Context, body *orders) error {
		store.tokensLive(time.Duration(body.Seconds) * time.Second)
		return nil
	})
	order("/clients", func(_ context.Context, body *orders) error {
		store.acceptReturns(body.RedirectURIs, body.PostLogoutRedirectURIs)
		return nil
	})
	return mux
}

type orders struct {
	User                   string   `json:"user"`
	Drop                   bool     `json:"drop"`
	Seconds                int      `json:"seconds"`
	RedirectURIs           []string `json:"redirect_uris"`
	PostLogoutRedirectURIs []string `json:"post_logout_redirect_uris"`
}

func answer(w http.ResponseWriter, value any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		value = map[string]string{"error": err.Error()}
	}
	if err := json.NewEncoder(w).Encode(value); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

func (s *store) eventsOf(prefix string) []map[string]any {
	s.lock.Lock()
	defer s.lock.Unlock()
	found := []map[string]any{}
	for _, event := range s.events {
		if strings.HasPrefix(event["type"].(string), prefix) {
			found = append(found, event)
		}
	}
	return found
}
